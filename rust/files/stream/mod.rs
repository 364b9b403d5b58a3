//! Files on several threads, with their results in order. All counting and encoding of files goes through
//! this, of one file or many, by whole files or chunk by chunk.
//!
//! A job is to read a [`FileChunk`] and to encode it. Only one thread at a time reads a file, and it puts
//! the reader back before it encodes, so that another thread may read on. So a large file is encoded by all
//! threads, and of many small files each thread opens and unpacks its own. Files are begun in order. Of the
//! open files the earliest that no other thread is reading comes first.
//!
//! What is guaranteed:
//!
//! - **Order.** Results are given in the order of the files and their chunks; an error comes in its turn.
//! - **Bounded memory.** While 32 MB of chunks and results wait to be taken nothing is read, except for the
//!   one chunk that is needed next.
//! - **No thread of the pool waits.** It works while there is something to do and is then free for others. It
//!   waits neither for a caller who takes results nor for a pipe. A file that may block its reader has a
//!   thread of its own, which begins when the file's turn comes.
//! - **An end.** A [`FileStream`] that is dropped or interrupted stops its threads within some milliseconds
//!   and frees its memory. In a forked process it is an error to go on.

mod worker;

use std::collections::VecDeque;
use std::mem::replace;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rayon_core::ThreadPool;

use crate::encode::pool::pool;
use crate::error::{Check, Error, always};
use crate::files::input::{Meter, is_packed};
use crate::files::output::{ChunkOutput, EncodeTask};
use crate::files::reader::{FileChunk, FileReader, Reading};
use crate::machine::sync::thread::{self, ThreadId};
use crate::machine::sync::{Condvar, Mutex, MutexGuard, Ordering, PoisonError, TryLockError};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 18;
/// Bytes of chunks and results that may wait to be taken.
const MAX_HELD_BYTES: usize = 32 << 20;
/// What a file costs besides its bytes.
const FILE_COST: usize = 512;
/// Bytes that a thread works on before it queues again, after others who wait for the pool.
const BYTES_PER_TURN: usize = 4 << 20;
/// How often the waiting thread calls `check`.
const WAIT: Duration = Duration::from_millis(50);

/// A file to read.
pub struct InputFile {
    /// Its path, also for messages.
    pub path: PathBuf,
    /// Read standard input, whatever the path.
    pub is_standard_input: bool,
    /// How it is read.
    pub reading: Reading,
}

/// What comes next: an output of the file whose turn it is, or the end of that file.
enum Next {
    Output(ChunkOutput),
    End,
}

/// Files being read. Several threads may take results; each takes the next.
pub struct FileStream {
    shared: Arc<Shared>,
    process: u32,
    /// Locked by the thread that takes a result.
    turn: Mutex<()>,
    consumer: Mutex<Option<ThreadId>>,
}

impl FileStream {
    /// Works on `files` with up to `threads` threads. Nothing is done before a result is asked for.
    pub fn new(task: EncodeTask, files: Vec<InputFile>, threads: usize) -> Self {
        Self::with_sizes(task, files, threads, CHUNK_BYTES, MAX_HELD_BYTES)
    }

    /// Bytes read so far, before unpacking; files that were given up count as read.
    pub fn read(&self) -> u64 {
        self.shared.meter.read.load(Ordering::Relaxed)
    }

    /// The output of the next whole file; `None` after the last. After the error of a file the next file
    /// follows. After [`Error::Interrupted`] nothing follows.
    pub fn next_file(&self, check: &Check) -> Result<Option<ChunkOutput>, Error> {
        self.in_turn(check, |shared| {
            let (mut whole, mut refused) = (ChunkOutput::default(), None);
            while let Some(next) = shared.next(check)? {
                match next {
                    // The rest of a file that was given up is read to its end, so that it does not come
                    // as the next file.
                    Next::Output(_) if refused.is_some() => {}
                    Next::Output(output) => {
                        if let Err(error) = whole.join(output) {
                            (whole, refused) = (ChunkOutput::default(), Some(error));
                        }
                    }
                    Next::End => return refused.map_or(Ok(Some(whole)), Err),
                }
            }
            Ok(None)
        })
    }

    /// Stops the threads; nothing more is given.
    pub fn end(&self) {
        self.shared.end();
    }

    /// The output of the next chunk, which is not empty unless its file is; `None` after the last.
    pub fn next_output(&self, check: &Check) -> Result<Option<ChunkOutput>, Error> {
        self.in_turn(check, |shared| {
            while let Some(next) = shared.next(check)? {
                match next {
                    Next::Output(output) if output.is_first || !output.is_empty() => {
                        return Ok(Some(output));
                    }
                    Next::Output(_) | Next::End => {}
                }
            }
            Ok(None)
        })
    }

    fn in_turn<T>(
        &self,
        check: &Check,
        take: impl FnOnce(&Arc<Shared>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if std::process::id() != self.process {
            return Err(Error::Forked);
        }
        let this = thread::current().id();
        let consumer = || self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        if *consumer() == Some(this) {
            return Err(Error::Busy);
        }
        let turn = loop {
            match self.turn.try_lock() {
                Ok(turn) => break turn,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            }
            check()?;
        };
        *consumer() = Some(this);
        let result = take(&self.shared);
        *consumer() = None;
        drop(turn);
        if let Err(Error::Interrupted) = result {
            self.shared.end();
        }
        result
    }

    fn with_sizes(
        task: EncodeTask,
        files: Vec<InputFile>,
        threads: usize,
        chunk: usize,
        max_held: usize,
    ) -> Self {
        let (meter, state) = (Arc::default(), Mutex::default());
        let (changed, pool) = (Condvar::new(), OnceLock::new());
        let shared = Shared { files, task, threads, chunk, max_held, meter, state, changed, pool };
        let (turn, consumer) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(shared), process: std::process::id(), turn, consumer }
    }
}

impl Drop for FileStream {
    fn drop(&mut self) {
        // In a forked process the lock may be held by a thread that exists only in the parent.
        if std::process::id() == self.process {
            self.shared.end();
        }
    }
}

/// What the threads share.
struct Shared {
    files: Vec<InputFile>,
    task: EncodeTask,
    threads: usize,
    chunk: usize,
    max_held: usize,
    meter: Arc<Meter>,
    state: Mutex<StreamState>,
    /// Notified when the state has changed.
    changed: Condvar,
    pool: OnceLock<Option<Arc<ThreadPool>>>,
}

#[derive(Default)]
struct StreamState {
    /// The index of the file whose results are taken.
    head: usize,
    /// How many files were begun.
    opened: usize,
    /// How far each begun file is, from the head on.
    progress: VecDeque<Progress>,
    /// Open files that no thread is reading, each with its index.
    readers: Vec<(usize, FileReader)>,
    /// Chunks that were read by a thread that only reads.
    chunks: VecDeque<(ChunkId, FileChunk)>,
    /// Bytes in readers, chunks and results.
    held: usize,
    /// How many threads work, or are about to.
    active: usize,
    /// Whether a caller waits for a result.
    is_awaited: bool,
    /// Whether some chunk was worked on.
    has_begun: bool,
}

/// How far a file is.
#[derive(Default)]
struct Progress {
    /// The results that were not taken yet, one for each chunk; `None` while it is worked on.
    outputs: VecDeque<Option<Result<ChunkOutput, Error>>>,
    /// How many results were taken.
    taken: usize,
    /// Whether all of it was read.
    is_read: bool,
    /// Whether it may block its reader, and waits for its turn to get a thread of its own.
    may_block: bool,
}

impl Progress {
    /// Sets the result of the chunk `index`. If no result is expected for it, the file ends with an error,
    /// since a result that is dropped would be waited for in vain.
    fn set_output(&mut self, index: usize, result: Result<ChunkOutput, Error>) {
        let slot = index.checked_sub(self.taken).and_then(|index| self.outputs.get_mut(index));
        match always(slot, "a chunk of a file has no place for its result") {
            Ok(slot) => *slot = Some(result),
            Err(error) => self.outputs.push_back(Some(Err(error))),
        }
    }
}

/// The index of a file, and that of a chunk of it.
#[derive(Clone, Copy)]
struct ChunkId {
    file: usize,
    index: usize,
}

enum Job {
    Read(usize, Option<FileReader>),
    Encode(ChunkId, FileChunk),
}

impl StreamState {
    /// How far a begun file is; `None` if its results are not wanted any more.
    fn progress_of(&mut self, file: usize) -> Option<&mut Progress> {
        // Each opened file from `head` on is in `progress`, see `Shared::take`.
        debug_assert!(file < self.opened);
        self.progress.get_mut(file.checked_sub(self.head)?)
    }

    /// Notes that a chunk of `file` is worked on; `None` if its result is not wanted any more.
    fn begin(&mut self, file: usize, chunk: &FileChunk) -> Option<ChunkId> {
        let progress = self.progress_of(file)?;
        progress.outputs.push_back(None);
        progress.is_read = chunk.last;
        let index = progress.taken + progress.outputs.len() - 1;
        self.held += chunk.len();
        Some(ChunkId { file, index })
    }

    fn put_back(&mut self, file: usize, reader: FileReader) {
        if file >= self.head {
            self.held += reader.held();
            self.readers.push((file, reader));
        }
    }

    /// Whether the result of this chunk is the next one to be taken.
    fn is_next(&self, id: ChunkId) -> bool {
        let is_next = |head: &Progress| (id.file, id.index) == (self.head, head.taken);
        self.progress.front().is_some_and(is_next)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The threads to work on; `None` if the caller who takes the results does all work.
    fn pool(&self) -> Option<&ThreadPool> {
        let started = || match self.threads {
            0..=1 => None,
            _ => pool().filter(|pool| pool.current_num_threads() > 1),
        };
        self.pool.get_or_init(started).as_deref()
    }

    fn end(&self) {
        self.meter.stop.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        let (head, active) = (self.files.len(), state.active);
        let rest = replace(
            &mut *state,
            StreamState { head, opened: head, active, ..StreamState::default() },
        );
        drop(state);
        drop(rest);
        self.changed.notify_all();
    }

    // Taking results

    fn next(self: &Arc<Self>, check: &Check) -> Result<Option<Next>, Error> {
        loop {
            check()?;
            let mut state = self.lock();
            if let Some(next) = self.take_next(&mut state) {
                let more = self.claim(&mut state);
                drop(state);
                self.changed.notify_all();
                self.spawn(more);
                return next.map(Some);
            }
            if state.head == self.files.len() {
                return Ok(None);
            }
            if let Some(progress) = state.progress.front_mut().filter(|progress| progress.may_block)
            {
                progress.may_block = false;
                let file = state.head;
                drop(state);
                self.start_blocking_reader(file);
                continue;
            }
            if self.should_work_here(&state)
                && let Some(job) = self.take(&mut state)
            {
                state.active += 1;
                drop(state);
                let result = self.run(job, &mut Vec::new(), check);
                self.lock().active -= 1;
                result?;
                continue;
            }
            let more = self.claim(&mut state);
            if more > 0 {
                drop(state);
                self.spawn(more);
                continue;
            }
            state.is_awaited = true;
            let waited = self.changed.wait_timeout(state, WAIT);
            waited.unwrap_or_else(PoisonError::into_inner).0.is_awaited = false;
        }
    }

    /// The next result, if it exists already.
    fn take_next(&self, state: &mut StreamState) -> Option<Result<Next, Error>> {
        let progress = state.progress.front_mut()?;
        let result = match progress.outputs.front_mut() {
            None if progress.is_read => Ok(Next::End),
            None => return None,
            Some(output) => {
                let result = output.take()?;
                progress.outputs.pop_front();
                result.map(Next::Output)
            }
        };
        match &result {
            Ok(Next::Output(output)) => {
                progress.taken += 1;
                state.held -= output.held();
            }
            Ok(Next::End) | Err(_) => {
                // Chunks that are worked on, and errors, hold no memory that counts.
                let left =
                    state.progress.pop_front().into_iter().flat_map(|progress| progress.outputs);
                state.held -=
                    left.flatten().flatten().map(|output| output.held()).sum::<usize>() + FILE_COST;
                for (_, reader) in state.readers.extract_if(.., |(file, _)| *file == state.head) {
                    state.held -= reader.held();
                }
                state.head += 1;
            }
        }
        Some(result)
    }

    /// Whether the thread that takes the results works itself: if there is no pool, and on the first chunk,
    /// since most files have only one.
    fn should_work_here(&self, state: &StreamState) -> bool {
        let small = || match self.files.first() {
            Some(file) => !is_packed(&file.path) || !state.chunks.is_empty(),
            None => false,
        };
        (!state.has_begun && small()) || self.pool().is_none()
    }

    // Giving out work

    fn may_read(&self, state: &StreamState, file: usize) -> bool {
        let has_no_results =
            || state.progress.front().is_none_or(|progress| progress.outputs.is_empty());
        state.held < self.max_held || (file == state.head && has_no_results())
    }

    fn take(&self, state: &mut StreamState) -> Option<Job> {
        if let Some((id, chunk)) = state.chunks.pop_front() {
            return Some(Job::Encode(id, chunk));
        }
        let files = state.readers.iter().map(|(file, _)| *file).enumerate();
        if let Some((at, file)) = files.min_by_key(|(_, file)| *file) {
            return self.may_read(state, file).then(|| {
                let (file, reader) = state.readers.swap_remove(at);
                state.held -= reader.held();
                Job::Read(file, Some(reader))
            });
        }
        let file = state.opened;
        (file < self.files.len() && self.may_read(state, file)).then(|| {
            state.opened += 1;
            state.progress.push_back(Progress::default());
            state.held += FILE_COST;
            Job::Read(file, None)
        })
    }

    /// For how many more threads there is work; they count as active from now on.
    fn claim(&self, state: &mut StreamState) -> usize {
        let open = state.readers.iter().filter(|(file, _)| self.may_read(state, *file)).count();
        let closed = match self.may_read(state, state.opened) {
            true => self.files.len() - state.opened,
            false => 0,
        };
        // The thread that takes the results may work, too, so more may be active than the limit.
        let free = self.threads.saturating_sub(state.active);
        let more = (state.chunks.len() + open + closed).min(free);
        state.active += more;
        more
    }

    fn spawn(self: &Arc<Self>, count: usize) {
        if count == 0 {
            return;
        }
        let Some(pool) = self.pool() else {
            self.lock().active -= count;
            return;
        };
        for _ in 0..count {
            let shared = Arc::clone(self);
            spawn_on(pool, move || shared.run_jobs());
        }
    }
}

#[cfg(not(all(test, shuttle)))]
fn spawn_on(pool: &ThreadPool, work: impl FnOnce() + Send + 'static) {
    pool.spawn(work);
}

/// A thread of its own, whose order the test decides.
#[cfg(all(test, shuttle))]
fn spawn_on(_: &ThreadPool, work: impl FnOnce() + Send + 'static) {
    thread::spawn(work);
}

#[cfg(all(test, not(shuttle)))]
mod tests;

#[cfg(all(test, shuttle))]
mod orders;
