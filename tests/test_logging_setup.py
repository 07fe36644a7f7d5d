"""`setup_logging` sets up the logger once, however often it is called."""

import logging
import sys

import pytest

from medha_core import ArgumentTypeError, ArgumentValueError, ConfigurationError, setup_logging


@pytest.fixture(autouse=True)
def put_back():
    """A logger that nobody has set up, and afterwards the logger as it was."""
    logger = logging.getLogger("medha_core")
    before = (list(logger.handlers), logger.level, logger.propagate)
    logger.handlers = []
    yield
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.handlers, logger.level, logger.propagate = before
    logger.manager._clear_cache()


def test_it_logs_to_standard_error_from_the_level_on(capsys):
    logger = setup_logging("WARNING")
    assert logger.name == "medha_core"
    assert logger.propagate is False
    logger.info("not this")
    logging.getLogger("medha_core.part").warning("but this")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "WARNING  medha_core.part: but this" in shown.err
    assert "not this" not in shown.err


def test_a_second_call_replaces_the_first_and_closes_its_file(tmp_path):
    first, second = tmp_path / "logs" / "first.log", tmp_path / "second.log"
    logger = setup_logging(log_file=first)
    old = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    logger.info("one")
    setup_logging("DEBUG", log_file=second)
    assert old[0].stream is None
    assert old[0] not in logger.handlers
    assert len(logger.handlers) == 2
    logger.debug("zwei Łódź")
    assert first.read_text(encoding="utf-8").count("\n") == 1
    assert "zwei Łódź" in second.read_text(encoding="utf-8")
    setup_logging()
    setup_logging()
    assert len(logger.handlers) == 1


def test_file_and_console_have_levels_of_their_own(tmp_path, capsys):
    logger = setup_logging("WARNING", tmp_path / "a.log", "debug", "%(levelname)s|%(message)s", "%H")
    logger.debug("small")
    logger.warning("large")
    assert capsys.readouterr().err == "DEBUG|small\nWARNING|large\n"
    assert (tmp_path / "a.log").read_text() == "WARNING|large\n"
    assert setup_logging(logging.ERROR).level == logging.ERROR


def test_handlers_of_the_programs_own_stay():
    own = logging.StreamHandler(sys.stderr)
    logging.getLogger("medha_core").addHandler(own)
    logger = setup_logging()
    setup_logging()
    assert own in logger.handlers
    assert len([one for one in logger.handlers if one is not own and one.name]) == 1


def test_what_cannot_be_set_up_changes_nothing(tmp_path):
    logger = setup_logging(log_file=tmp_path / "a.log")
    before = list(logger.handlers)
    with pytest.raises(ArgumentValueError, match="level"):
        setup_logging("LOUD")
    with pytest.raises(ArgumentValueError, match="console_level"):
        setup_logging(console_level=-1)
    with pytest.raises(ArgumentTypeError):
        setup_logging(True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="log_file"):
        setup_logging(log_file=tmp_path / "file" / "below.log")
    assert logger.handlers == before
    assert before[0].stream is not None
