//! What the threads of a [`super::Stream`] do: read, encode, hand in.

use std::mem::take;
use std::sync::{Arc, PoisonError};
use std::thread;

use super::{FILE, Named, Place, Shared, TURN, Unit};
use crate::error::{Check, Error, always};
use crate::files::output::Part;
use crate::files::reader::{Piece, Source, Step, read_error};

impl Shared {
    /// What a thread of the pool does.
    pub(super) fn work(self: Arc<Self>) {
        let check = || self.meter.check();
        let (mut done, mut spare) = (0, Vec::new());
        while done < TURN {
            let Some(unit) = self.take(&mut self.lock()) else { break };
            match self.run(unit, &mut spare, &check) {
                Ok(bytes) => done += bytes + FILE,
                Err(error) => {
                    // All others are results.
                    debug_assert!(matches!(error, Error::Interrupted));
                    break;
                }
            }
        }
        let mut state = self.lock();
        state.active -= 1;
        // Whoever waits for results hands out the next turns, so that they queue after the work of
        // others. If nobody waits they are handed out here, until there is no room for results.
        let more = if state.is_awaited { 0 } else { self.claim(&mut state) };
        drop(state);
        self.changed.notify_all();
        self.spawn(more);
    }

    /// Does a unit of work; gives the bytes that were worked on. Errors of a file are results; others
    /// end all.
    pub(super) fn run(
        self: &Arc<Self>,
        unit: Unit,
        spare: &mut Vec<u8>,
        check: &Check,
    ) -> Result<usize, Error> {
        let (place, piece) = match unit {
            Unit::Encode(place, piece) => (place, piece),
            Unit::Read(file, source) => match self.read(file, source, take(spare), check)? {
                Some(begun) => begun,
                None => return Ok(0),
            },
        };
        let bytes = piece.text().len();
        let named = self.named(place.file);
        let result = match named.and_then(|named| self.task.part(&named.path, &piece, check)) {
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            result => result,
        };
        *spare = piece.into_buffer();
        // Of an unusually long piece the memory is not kept.
        if spare.len() > 4 * self.piece {
            *spare = Vec::new();
        }
        let mut state = self.lock();
        state.has_begun = true;
        // It is none if all has ended meanwhile.
        state.held = state.held.saturating_sub(bytes);
        let is_next = state.is_next(place);
        let held = result.as_ref().map_or(0, Part::held);
        if let Some(progress) = state.progress(place.file) {
            progress.hand_in(place.part, result);
            state.held += held;
        }
        drop(state);
        if is_next {
            self.changed.notify_all();
        }
        Ok(bytes)
    }

    /// Reads a piece, which is then worked on, and lets other threads read on.
    fn read(
        self: &Arc<Self>,
        file: usize,
        source: Option<Source>,
        spare: Vec<u8>,
        check: &Check,
    ) -> Result<Option<(Place, Piece)>, Error> {
        let opened = source.map_or_else(|| self.open(file), |source| Ok(Some(source)));
        let mut source = match opened {
            Ok(Some(source)) => source,
            Ok(None) => {
                if let Some(progress) = self.lock().progress(file) {
                    progress.waits = true;
                }
                self.changed.notify_all();
                return Ok(None);
            }
            Err(error) => {
                self.close(file, Err(error));
                return Ok(None);
            }
        };
        match source.read(&self.task.cuts(), self.piece, spare, check) {
            Ok(Step::More) => self.lock().put_back(file, source),
            Ok(Step::Piece(piece)) => {
                let mut state = self.lock();
                let Some(place) = state.begin(file, &piece) else { return Ok(None) };
                if !piece.last {
                    state.put_back(file, source);
                }
                let more = self.claim(&mut state);
                drop(state);
                self.spawn(more);
                return Ok(Some((place, piece)));
            }
            Ok(Step::Binary) => self.close(file, Ok(Part { is_binary: true, ..Part::default() })),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => self.close(file, Err(error)),
        }
        Ok(None)
    }

    fn named(&self, file: usize) -> Result<&Named, Error> {
        always(self.files.get(file), "a file was taken up that is none")
    }

    /// Opens a file; `None` if it may keep its reader waiting, as pipes do and regular files do not.
    fn open(&self, file: usize) -> Result<Option<Source>, Error> {
        let named = self.named(file)?;
        let failed = |error| read_error(&named.path, error);
        let waits =
            named.is_standard_input || !std::fs::metadata(&named.path).map_err(failed)?.is_file();
        if waits { Ok(None) } else { self.source(named).map(Some) }
    }

    fn source(&self, named: &Named) -> Result<Source, Error> {
        let Named { path, is_standard_input, refuses_binary } = named;
        Source::open(path, *is_standard_input, *refuses_binary, &self.meter)
    }

    /// Puts the last result of a file after the others.
    fn close(&self, file: usize, result: Result<Part, Error>) {
        if let Some(progress) = self.lock().progress(file) {
            progress.parts.push_back(Some(result));
            progress.is_read = true;
        }
        self.changed.notify_all();
    }

    /// Starts a thread that reads what may keep it waiting. If nobody wants the file any more while
    /// it waits, it ends with the next byte that comes.
    pub(super) fn start_following(self: &Arc<Self>, file: usize) {
        let shared = Arc::clone(self);
        let name = "llama3_tok-reader".to_owned();
        let started = thread::Builder::new().name(name).spawn(move || shared.follow(file));
        if let Err(error) = started {
            let result = self.named(file).and_then(|named| Err(read_error(&named.path, error)));
            self.close(file, result);
        }
    }

    fn follow(self: Arc<Self>, file: usize) {
        let check = || self.meter.check();
        let mut source = match self.named(file).and_then(|named| self.source(named)) {
            Ok(source) => source,
            Err(error) => return self.close(file, Err(error)),
        };
        loop {
            let piece = match source.read(&self.task.cuts(), self.piece, Vec::new(), &check) {
                Ok(Step::More) => continue,
                Ok(Step::Piece(piece)) => piece,
                Ok(Step::Binary) => {
                    return self.close(file, Ok(Part { is_binary: true, ..Part::default() }));
                }
                Err(error) => return self.close(file, Err(error)),
            };
            let mut state = self.lock();
            while !self.may_read(&state, file) && check().is_ok() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(place) = state.begin(file, &piece) else { return };
            let (is_all, last) = (piece.first && piece.last, piece.last);
            state.pieces.push_back((place, piece));
            let more = if is_all { 0 } else { self.claim(&mut state) };
            drop(state);
            self.changed.notify_all();
            self.spawn(more);
            if last {
                return;
            }
        }
    }
}
