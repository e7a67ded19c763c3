"""Makes the input of sensor_plan.py in the folder readings: four files of each sample."""

import random
from pathlib import Path

folder = Path("readings")
folder.mkdir(exist_ok=True)
draw = random.Random(1)
for sample, mean in (("dark", 7.0), ("light", 87.0)):
    for number in range(4):
        lines = [f"{draw.gauss(mean, 2.0):.3f}\n" for _ in range(500)]
        (folder / f"{sample}_{number}.txt").write_text("".join(lines))
