//! Runs work detached from the interpreter, and lets signal handlers run now and then, which may stop it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::raise::raise;
use crate::error::{Check, Error};
use crate::machine::reserve;

/// How often long work looks for signals.
const SIGNALS: Duration = Duration::from_millis(50);

/// A check that does nothing, for work that is too short to be interrupted.
pub(super) fn go_on() -> Result<(), Error> {
    Ok(())
}

/// Runs `work` detached from the interpreter. The check that it gets attaches now and then, to run
/// signal handlers and to tell `progress` how many bytes were read. What these raise ends the work.
pub(super) fn detached<T: Send>(
    py: Python,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Check, &Cell<u64>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    reserve::ready().map_err(|error| raise(py, error))?;
    let (result, raised) = py.detach(|| {
        let (raised, last, read) = (RefCell::new(None), Cell::new(None), Cell::new(0));
        let check = || {
            reserve::check()?;
            let now = Instant::now();
            if last.replace(Some(last.get().unwrap_or(now))).is_some_and(|at| now - at < SIGNALS) {
                return Ok(());
            }
            last.set(Some(now));
            let reported = Python::try_attach(|py| report(py, progress.as_ref(), read.get()));
            reported.unwrap_or_else(|| wait_for_the_end()).map_err(|error| {
                raised.replace(Some(error));
                Error::Interrupted
            })
        };
        (work(&check, &read), raised.into_inner())
    });
    match raised {
        Some(error) => Err(error),
        None => result.map_err(|error| raise(py, error)),
    }
}

/// For a daemon thread whose interpreter has ended, or ends just now: nobody is left to take a result, and the
/// process is about to end. Until then the thread waits, as Python's own do.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

fn report(py: Python, progress: Option<&Py<PyAny>>, read: u64) -> PyResult<()> {
    py.check_signals()?;
    if let Some(progress) = progress {
        progress.call1(py, (read,))?;
    }
    Ok(())
}
