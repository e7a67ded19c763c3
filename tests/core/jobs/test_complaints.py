"""What goes wrong for a long time is said now and then."""

from caf_core.jobs.complaints import AGAIN, Complaints


def test_the_same_words_are_said_again_only_after_a_while():
    complaints = Complaints()
    assert complaints.is_new("a", "no answer", 0.0)
    assert not complaints.is_new("a", "no answer", AGAIN - 1)
    assert complaints.is_new("a", "no answer", AGAIN)
    assert not complaints.is_new("a", "no answer", AGAIN + 1)


def test_other_words_and_other_subjects_are_said_at_once():
    complaints = Complaints()
    assert complaints.is_new("a", "no answer", 0.0)
    assert complaints.is_new("a", "garbage", 1.0)
    assert complaints.is_new("b", "garbage", 1.0)
    assert complaints.is_new("a", "no answer", 2.0)
