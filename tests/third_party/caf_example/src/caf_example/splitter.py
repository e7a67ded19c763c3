"""Input files dealt out like cards."""

from caf_core.jobs.splitters import SubjobSplitter, distinct


class DealingSplitter(SubjobSplitter):
    """Deals the input files to a number of subjobs in turn, so that each gets early and late ones.

    Args:
        hands: The largest number of subjobs.
        arguments_generator: See ``SubjobSplitter``.
    """

    def __init__(self, hands=4, *, arguments_generator=None):
        super().__init__(arguments_generator=arguments_generator)
        self.hands = hands

    def create_subjobs(self, job):
        """See ``SubjobSplitter``."""
        files = distinct(job.input_files)
        for number in range(min(self.hands, len(files))):
            job.create_subjob(number, input_files=files[number :: self.hands])
        self.assign_arguments(job)
