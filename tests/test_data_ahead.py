"""What is done beside something else, in a thread of its own."""

import threading

import pytest

from llama3_tok.data.corpora.ahead import Behind, ahead


def test_items_come_in_order_and_then_what_was_raised():
    def items():
        yield from range(100)
        raise KeyError("after")

    found = []
    with pytest.raises(KeyError, match="after"):
        found.extend(ahead(items()))
    assert found == list(range(100))


def test_who_takes_no_more_items_ends_the_thread():
    def items():
        while True:
            yield 1

    before = threading.active_count()
    given = ahead(items())
    assert next(given) == 1
    given.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("is_alone", [True, False])
def test_functions_are_called_in_order_and_done_at_the_end(is_alone):
    done = []
    with Behind(is_alone=is_alone) as behind:
        for number in range(100):
            behind.call(lambda number=number: done.append((number, threading.get_ident())))
    assert [number for number, _ in done] == list(range(100))
    here = threading.get_ident()
    assert {thread == here for _, thread in done} == {is_alone}


def test_the_caller_goes_on_while_a_function_is_called():
    gone_on = threading.Event()
    with Behind(is_alone=False) as behind:
        behind.call(lambda: gone_on.wait(60) or pytest.fail("the caller waits"))
        gone_on.set()


def fail(message):
    raise OSError(message)


def called(*functions):
    """Calls them behind, and then fails itself if the last one is None."""
    with Behind(is_alone=False) as behind:
        for function in functions:
            behind.call(function) if function else fail("the caller's")


def test_an_error_comes_with_the_next_call_which_is_not_made():
    done = []
    with pytest.raises(OSError, match="first"):
        called(lambda: fail("first"), lambda: done.append(1))
    assert not done


def test_an_error_of_the_last_function_comes_at_the_end():
    with pytest.raises(OSError, match="last"):
        called(lambda: fail("last"))


def test_the_first_error_is_told():
    with pytest.raises(OSError, match="the caller's"):
        called(lambda: fail("behind"), None)
