"""What a worker's reconstruction finds in its directory in a step."""

from pathlib import Path
from typing import Self

from attrs import field, frozen

from caf_pandora import markup
from caf_pandora.analysis import PFO_ANALYSIS, provide_analysis
from caf_pandora.constants import Constants, read_constants, write_constants
from caf_pandora.errors import SteeringError
from caf_pandora.inputs import Share
from caf_pandora.likelihood import Likelihood
from caf_pandora.phases import LIKELIHOOD_FILE, RESULT_FILE
from caf_pandora.settings import Settings
from caf_pandora.steering import Address, Steering

STEERING_FILE = "steering.xml"
PANDORA_SETTINGS_FILE = "PandoraSettings.xml"


@frozen
class Kit:
    """The files that a calibration starts from.

    Args:
        steering: Marlin's steering file.
        pandora_settings: Pandora's settings, with the likelihood file in ``HistogramFile``.
        likelihood: The likelihood data that are used until stage 2 has made new ones.
        analysis_processor: The name of the processor ``PfoAnalysis``, which is added if it is missing.
    """

    steering: Steering
    pandora_settings: bytes = field(repr=False)
    likelihood: bytes = field(repr=False)
    analysis_processor: str = PFO_ANALYSIS

    @classmethod
    def of(
        cls,
        steering: bytes,
        pandora_settings: bytes,
        likelihood: bytes,
        analysis_processor: str = PFO_ANALYSIS,
    ) -> Self:
        """A kit from the contents of its files.

        Raises:
            SteeringError: If the steering file is none.
        """
        return cls(Steering.parse(steering), pandora_settings, likelihood, analysis_processor)

    def check(self, settings: Settings) -> None:
        """Refuse what would make the first step fail.

        Raises:
            SteeringError: If a processor, a constant or the photon identification is missing, if a
                processor would be calibrated that is not executed, or if the likelihood file is none.
        """
        step_files(self, settings, read_constants(self.steering, settings), Share(("none",), 0, 1))
        Likelihood.parse(self.likelihood)
        executed = self.steering.executed()
        for name in (settings.digi_processor, settings.pandora_processor):
            if self.steering.put_in(name) not in executed:
                raise SteeringError(
                    f"{self.steering.name} defines the processor {name!r}, but does not execute it: its "
                    f"constants would have no effect. Executed are {', '.join(executed) or 'none'}; set "
                    "DDCaloDigiName and DDPandoraPFANewProcessorName to those, or change <execute>."
                )
        beside = [name for name in self.steering.includes() if not name.startswith("/")]
        if beside:
            raise SteeringError(
                f"{self.steering.name} includes {', '.join(beside)}, which workers do not find; put that "
                "into the file, or name it by an absolute path."
            )


def step_files(
    kit: Kit, settings: Settings, constants: Constants, share: Share, *, training: bool = False
) -> dict[str, bytes]:
    """The files of one worker for one step, by name; the reconstruction is executed where they are.

    Args:
        kit: What the calibration started from; with the likelihood of stage 2 if that is over.
        settings: The user's settings.
        constants: The constants of the step.
        share: The worker's events.
        training: Whether this is stage 2, in which Pandora writes likelihood data instead of using them.
    Raises:
        SteeringError: If a processor is missing.
    """
    steering = kit.steering.copy()
    write_constants(steering, constants, settings)
    steering.set(Address("LCIOInputFiles"), " ".join(share.files))
    steering.set(Address("SkipNEvents"), str(share.skip))
    steering.set(Address("MaxRecordNumber"), str(share.records))
    provide_analysis(steering, RESULT_FILE, kit.analysis_processor)
    steering.set(
        Address("PandoraSettingsXmlFile", settings.pandora_processor), PANDORA_SETTINGS_FILE, kind="string"
    )
    files = {
        STEERING_FILE: steering.content(),
        PANDORA_SETTINGS_FILE: pandora_settings(kit.pandora_settings, LIKELIHOOD_FILE, training=training),
    }
    if not training:
        files[LIKELIHOOD_FILE] = kit.likelihood
    return files


def write_files(directory: Path, files: dict[str, bytes]) -> None:
    """Put files into a directory, which is made if need be; a likelihood file of an older step goes away."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in (LIKELIHOOD_FILE, RESULT_FILE):
        (directory / old).unlink(missing_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)


def pandora_settings(content: bytes, likelihood: str, *, training: bool) -> bytes:
    """Pandora's settings with a likelihood file, for using it or for making it.

    Raises:
        SteeringError: If no algorithm in them has a ``HistogramFile``.
    """
    tree = markup.parse(content, "Pandora's settings file")
    files = tree.xpath("//HistogramFile")
    if not files:
        raise SteeringError(
            "Pandora's settings file has no algorithm with a HistogramFile, as photon identification needs."
        )
    for element in files:
        markup.set_value(element, likelihood)
        algorithm = element.getparent()
        switch = algorithm.find("ShouldMakePdfHistograms")
        if switch is None:
            switch = markup.append(algorithm, "ShouldMakePdfHistograms")
        markup.set_value(switch, "true" if training else "false")
    return markup.serialise(tree, markup.declaration(content))
