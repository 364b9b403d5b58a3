//! What the threads of a [`super::FileStream`] do: they read chunks, encode them and set the results.

use std::mem::take;
use std::sync::Arc;

use super::{BYTES_PER_TURN, ChunkId, FILE_COST, InputFile, Job, Shared};
use crate::error::{Check, Error, always};
use crate::files::input::read_error;
use crate::files::output::ChunkOutput;
use crate::files::reader::{FileChunk, FileReader, ReadStep, Refusal};
use crate::machine::sync::PoisonError;
use crate::machine::threads;

/// The check asked for a stop.
pub(super) struct Stopped;

impl From<Stopped> for Error {
    fn from(_: Stopped) -> Self {
        Self::Interrupted
    }
}

/// What a file gives that is left out.
fn refused(reason: Refusal) -> ChunkOutput {
    ChunkOutput { refused: Some(reason), ..ChunkOutput::default() }
}

impl Shared {
    /// What a thread of the pool does.
    pub(super) fn run_jobs(self: Arc<Self>) {
        let check = || self.meter.check();
        let (mut done, mut spare) = (0, Vec::new());
        while done < BYTES_PER_TURN {
            let Some(job) = self.take(&mut self.lock()) else { break };
            match self.run(job, &mut spare, &check) {
                Ok(bytes) => done += bytes + FILE_COST,
                Err(Stopped) => break,
            }
        }
        let mut state = self.lock();
        state.active -= 1;
        // A caller who waits for results starts the next turns, so that they queue after the work of others.
        // If no caller waits they are started here, until there is no room for results.
        let more = if state.is_awaited { 0 } else { self.claim(&mut state) };
        drop(state);
        self.changed.notify_all();
        self.spawn(more);
    }

    /// Does a job; gives how many bytes were worked on. All other errors are results of files.
    pub(super) fn run(
        self: &Arc<Self>,
        job: Job,
        spare: &mut Vec<u8>,
        check: &Check,
    ) -> Result<usize, Stopped> {
        let (id, chunk) = match job {
            Job::Encode(id, chunk) => (id, chunk),
            Job::Read(file, reader) => match self.read(file, reader, take(spare), check)? {
                Some(begun) => begun,
                None => return Ok(0),
            },
        };
        let bytes = chunk.len();
        let named = self.named(id.file);
        let result = match named.and_then(|named| self.task.run(&named.path, &chunk, check)) {
            Err(Error::Interrupted) => return Err(Stopped),
            result => result,
        };
        *spare = chunk.into_buffer();
        // The memory of an unusually long chunk is not kept.
        if spare.len() > 4 * self.chunk {
            *spare = Vec::new();
        }
        let mut state = self.lock();
        state.has_begun = true;
        // It is 0 if the stream has ended meanwhile.
        state.held = state.held.saturating_sub(bytes);
        let is_next = state.is_next(id);
        let held = result.as_ref().map_or(0, ChunkOutput::held);
        if let Some(progress) = state.progress_of(id.file) {
            progress.set_output(id.index, result);
            state.held += held;
        }
        drop(state);
        if is_next {
            self.changed.notify_all();
        }
        Ok(bytes)
    }

    /// Reads a chunk, and lets other threads read on in the file.
    fn read(
        self: &Arc<Self>,
        file: usize,
        reader: Option<FileReader>,
        spare: Vec<u8>,
        check: &Check,
    ) -> Result<Option<(ChunkId, FileChunk)>, Stopped> {
        let opened = reader.map_or_else(|| self.open(file), |reader| Ok(Some(reader)));
        let mut reader = match opened {
            Ok(Some(reader)) => reader,
            Ok(None) => {
                if let Some(progress) = self.lock().progress_of(file) {
                    progress.may_block = true;
                }
                self.changed.notify_all();
                return Ok(None);
            }
            Err(error) => {
                self.close(file, Err(error));
                return Ok(None);
            }
        };
        match reader.read(&self.task.cut_rule(), self.chunk, spare, check) {
            Ok(ReadStep::More) => self.lock().put_back(file, reader),
            Ok(ReadStep::Chunk(chunk)) => {
                let mut state = self.lock();
                let Some(id) = state.begin(file, &chunk) else { return Ok(None) };
                if !chunk.last {
                    state.put_back(file, reader);
                }
                let more = self.claim(&mut state);
                drop(state);
                self.spawn(more);
                return Ok(Some((id, chunk)));
            }
            Ok(ReadStep::Refused(reason)) => self.close(file, Ok(refused(reason))),
            Err(Error::Interrupted) => return Err(Stopped),
            Err(error) => self.close(file, Err(error)),
        }
        Ok(None)
    }

    fn named(&self, file: usize) -> Result<&InputFile, Error> {
        always(self.files.get(file), "a file was begun that does not exist")
    }

    /// Opens a file; `None` if it may block its reader, as pipes may and regular files do not.
    fn open(&self, file: usize) -> Result<Option<FileReader>, Error> {
        let named = self.named(file)?;
        let failed = |error| read_error(&named.path, error);
        let may_block =
            named.is_standard_input || !std::fs::metadata(&named.path).map_err(failed)?.is_file();
        if may_block { Ok(None) } else { self.open_file(named).map(Some) }
    }

    fn open_file(&self, named: &InputFile) -> Result<FileReader, Error> {
        let InputFile { path, is_standard_input, reading } = named;
        FileReader::open(path, *is_standard_input, *reading, self.task.limits, &self.meter)
    }

    /// Adds the last result of a file.
    fn close(&self, file: usize, result: Result<ChunkOutput, Error>) {
        if let Some(progress) = self.lock().progress_of(file) {
            progress.outputs.push_back(Some(result));
            progress.is_read = true;
        }
        self.changed.notify_all();
    }

    /// Starts a thread for a file that may block its reader. If the stream ends while the thread is blocked,
    /// the thread ends with the next byte that comes.
    pub(super) fn start_blocking_reader(self: &Arc<Self>, file: usize) {
        let shared = Arc::clone(self);
        let name = Some("llama3_tok-reader".to_owned());
        let started = threads::spawn(name, move || shared.read_blocking(file));
        if let Err(error) = started {
            let result = self.named(file).and_then(|named| Err(read_error(&named.path, error)));
            self.close(file, result);
        }
    }

    fn read_blocking(self: Arc<Self>, file: usize) {
        let check = || self.meter.check();
        let mut reader = match self.named(file).and_then(|named| self.open_file(named)) {
            Ok(reader) => reader,
            Err(error) => return self.close(file, Err(error)),
        };
        loop {
            let chunk = match reader.read(&self.task.cut_rule(), self.chunk, Vec::new(), &check) {
                Ok(ReadStep::More) => continue,
                Ok(ReadStep::Chunk(chunk)) => chunk,
                Ok(ReadStep::Refused(reason)) => return self.close(file, Ok(refused(reason))),
                Err(error) => return self.close(file, Err(error)),
            };
            let mut state = self.lock();
            while !self.may_read(&state, file) && check().is_ok() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(id) = state.begin(file, &chunk) else { return };
            let (is_all, last) = (chunk.first && chunk.last, chunk.last);
            state.chunks.push_back((id, chunk));
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
