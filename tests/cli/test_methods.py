"""``qgssl-fast methods`` names everything that can be trained, and why the rest cannot."""

from qgssl_fast.cli.main import main
from qgssl_fast.methods import METHODS, PUBLISHED
from qgssl_fast.quality import list_guides


def test_everything_is_listed(capsys):
    assert main(["methods", "--why", "true"]) == 0
    said = capsys.readouterr().out
    for name in (*METHODS, *list_guides(), *PUBLISHED):
        assert name in said
    assert all(cls.source.split(";")[0] in said for cls in METHODS.values())
    assert "c^2 [c >= 0.9]" in said
    assert "mean_teacher+correction: mean_teacher has soft targets" in said
    assert "cps+uncertainty: cps has no teacher that guide uncertainty could ask" in said
    assert "fixmatch+threshold: fixmatch leaves out unsure pixels by itself" in said
