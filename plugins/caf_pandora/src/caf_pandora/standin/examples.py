"""Files to start from, for the stand-in: what a user brings for the real reconstruction."""

from caf_pandora.analysis import PFO_ANALYSIS
from caf_pandora.constants import Constants, write_constants
from caf_pandora.settings import Settings
from caf_pandora.standin.photon_id import untrained
from caf_pandora.steering import Steering
from caf_pandora.step_files import Kit

PANDORA_SETTINGS = b"""<?xml version="1.0" encoding="UTF-8"?>
<!-- Pandora settings of the stand-in -->
<pandora>
  <IsMonitoringEnabled>false</IsMonitoringEnabled>
  <algorithm type = "PhotonReconstruction">
    <HistogramFile>PandoraLikelihoodData9EBin.xml</HistogramFile>
    <ShouldMakePdfHistograms>false</ShouldMakePdfHistograms>
  </algorithm>
</pandora>
"""

_STEERING = """<?xml version="1.0" encoding="UTF-8"?>
<!-- Steering file of the stand-in -->
<marlin>
  <execute>
    <processor name="{digi}"/>
    <processor name="{pandora}"/>
    <processor name="{analysis}"/>
  </execute>
  <global>
    <parameter name="LCIOInputFiles"> none </parameter>
    <parameter name="SkipNEvents" value="0"/>
    <parameter name="MaxRecordNumber" value="-1"/>
    <parameter name="Verbosity" options="DEBUG0-4,MESSAGE0-4,WARNING0-4,ERROR0-4,SILENT"> WARNING </parameter>
  </global>
  <processor name="{digi}" type="DDCaloDigi">
    <!-- thin and thick layers -->
    <parameter name="CalibrECAL" type="FloatVec"> 1 1 </parameter>
  </processor>
  <processor name="{pandora}" type="DDPandoraPFANewProcessor">
    <parameter name="PandoraSettingsXmlFile" type="string"> PandoraSettings.xml </parameter>
  </processor>
  <processor name="{analysis}" type="PfoAnalysis">
    <parameter name="RootFile" type="string"> pfoAnalysis.root </parameter>
  </processor>
</marlin>
"""


def kit(constants: Constants, settings: Settings) -> Kit:
    """Steering file with these constants, Pandora's settings, and likelihood data of another detector."""
    names = {"digi": settings.digi_processor, "pandora": settings.pandora_processor, "analysis": PFO_ANALYSIS}
    steering = Steering.parse(_STEERING.format(**names).encode(), "the stand-in's steering file")
    write_constants(steering, constants, settings)
    return Kit(steering, PANDORA_SETTINGS, untrained())
