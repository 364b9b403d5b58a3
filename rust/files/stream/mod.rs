//! Files on several threads, with their results in order: the one machinery after counting and
//! encoding, one file or many, whole or index by index.
//!
//! A job of work is to read a [`FileChunk`] of a file and to encode it. Only one thread at a time reads a
//! file, and it puts the file back before it encodes, so that another may read on: that way a large
//! file is encoded by all threads, and of many small ones each thread opens and unpacks its own. Files
//! are taken up in order, the earliest that no other thread is reading first.
//!
//! What is guaranteed:
//!
//! - **Order.** A index is given when all before it were; likewise an error, when its turn comes.
//! - **Bounded memory.** Nothing is read while 32 MB are held in chunks and results that
//!   nobody took, but for the one chunk that is needed next.
//! - **Nobody may_block on the pool.** A thread of the pool works while there is something to do and is
//!   then free for others; it never may_block, neither for a caller who takes results nor for a pipe. What
//!   may keep its reader waiting has a thread of its own, which begins when its turn comes.
//! - **An end.** A [`FileStream`] that is dropped, or ends with an error of the whole, stops its threads
//!   within some milliseconds and gives its memory back. In a forked process it is an error to go on.

mod worker;

use std::collections::VecDeque;
use std::mem::replace;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use rayon_core::ThreadPool;

use crate::encode::pool::pool;
use crate::error::{Check, Error, always};
use crate::files::output::{EncodeTask, Output};
use crate::files::reader::{FileChunk, FileReader, Meter, is_packed};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 18;
/// So many bytes may wait to be taken.
const MAX_HELD_BYTES: usize = 32 << 20;
/// What a file costs besides its bytes.
const FILE_COST: usize = 512;
/// So many bytes a thread works on before others who wait for the pool get it.
const BYTES_PER_TURN: usize = 4 << 20;
/// How often the waiting thread calls `check`.
const WAIT: Duration = Duration::from_millis(50);

/// A file to read.
pub struct InputFile {
    /// Its path, also for messages.
    pub path: PathBuf,
    /// Read standard input, whatever the path.
    pub is_standard_input: bool,
    /// Leave it out if it is binary.
    pub refuses_binary: bool,
}

/// What comes next: a index of the file whose turn it is, or its end.
enum Next {
    Output(Output),
    End,
}

/// Files being read. Several threads may take results; each takes the next.
pub struct FileStream {
    shared: Arc<Shared>,
    process: u32,
    /// Is locked by the thread that takes a result.
    turn: Mutex<()>,
    consumer: Mutex<Option<ThreadId>>,
}

impl FileStream {
    /// Files for a task, on up to `threads` threads. Nothing is done before a result is asked for.
    pub fn new(task: EncodeTask, files: Vec<InputFile>, threads: usize) -> Self {
        Self::with_sizes(task, files, threads, CHUNK_BYTES, MAX_HELD_BYTES)
    }

    /// Bytes read so far, before unpacking; files that were given up count as read.
    pub fn read(&self) -> u64 {
        self.shared.meter.read.load(Ordering::Relaxed)
    }

    /// The next file, whole; `None` after the last. After the error of a file the next one follows;
    /// an error of the whole ends all.
    pub fn next_file(&self, check: &Check) -> Result<Option<Output>, Error> {
        self.in_turn(check, |shared| {
            let (mut whole, mut refused) = (Output::default(), None);
            while let Some(next) = shared.next(check)? {
                match next {
                    // What is left of a file that was given up is no file of its own: it is read on to its end.
                    Next::Output(_) if refused.is_some() => {}
                    Next::Output(index) => {
                        if let Err(error) = whole.join(index) {
                            (whole, refused) = (Output::default(), Some(error));
                        }
                    }
                    Next::End => return refused.map_or(Ok(Some(whole)), Err),
                }
            }
            Ok(None)
        })
    }

    /// Ends it: nothing more is given.
    pub fn end(&self) {
        self.shared.end();
    }

    /// The next index of the files, which is not empty unless a file is; `None` after the last.
    pub fn next_output(&self, check: &Check) -> Result<Option<Output>, Error> {
        self.in_turn(check, |shared| {
            while let Some(next) = shared.next(check)? {
                match next {
                    Next::Output(index) if index.is_first || !index.is_empty() => {
                        return Ok(Some(index));
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
        // In a forked process one of the threads that are not there may have held the lock.
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
    state: Mutex<State>,
    /// Something came, went or ended.
    changed: Condvar,
    pool: OnceLock<Option<Arc<ThreadPool>>>,
}

#[derive(Default)]
struct State {
    /// The file whose results are taken, and how many were taken up.
    head: usize,
    opened: usize,
    /// The files from the head on that were taken up.
    progress: VecDeque<Progress>,
    /// Files that may be read on, and their places.
    readers: Vec<(usize, FileReader)>,
    /// Chunks that were read by a thread that only reads.
    chunks: VecDeque<(ChunkId, FileChunk)>,
    /// Bytes in readers, chunks and results.
    held: usize,
    /// How many threads work, or are about to.
    active: usize,
    /// Whether the one who takes the results may_block for them.
    is_awaited: bool,
    /// Whether some chunk was worked on.
    has_begun: bool,
}

/// How far a file is.
#[derive(Default)]
struct Progress {
    /// The results that were not taken, `None` while they are worked on, and how many were taken.
    outputs: VecDeque<Option<Result<Output, Error>>>,
    taken: usize,
    /// Whether all of it was read.
    is_read: bool,
    /// Whether it may keep its reader waiting, and may_block itself for its turn.
    may_block: bool,
}

impl Progress {
    /// Puts a result where its turn comes. One without a id of its own would be waited for in vain, so
    /// that is an error of the file.
    fn set_output(&mut self, index: usize, result: Result<Output, Error>) {
        let id = index.checked_sub(self.taken).and_then(|id| self.outputs.get_mut(id));
        match always(id, "a index of a file has no id") {
            Ok(id) => *id = Some(result),
            Err(error) => self.outputs.push_back(Some(Err(error))),
        }
    }
}

/// A file, and a index of it.
#[derive(Clone, Copy)]
struct ChunkId {
    file: usize,
    index: usize,
}

enum Job {
    Read(usize, Option<FileReader>),
    Encode(ChunkId, FileChunk),
}

impl State {
    /// How far a file is that was taken up; `None` if nobody wants it any more.
    fn progress_of(&mut self, file: usize) -> Option<&mut Progress> {
        debug_assert!(file < self.opened);
        self.progress.get_mut(file.checked_sub(self.head)?)
    }

    /// Notes that a chunk of `file` is worked on; `None` if nobody wants it any more.
    fn begin(&mut self, file: usize, chunk: &FileChunk) -> Option<ChunkId> {
        let progress = self.progress_of(file)?;
        progress.outputs.push_back(None);
        progress.is_read = chunk.last;
        let index = progress.taken + progress.outputs.len() - 1;
        self.held += chunk.text().len();
        Some(ChunkId { file, index })
    }

    fn put_back(&mut self, file: usize, reader: FileReader) {
        if file >= self.head {
            self.held += reader.held();
            self.readers.push((file, reader));
        }
    }

    /// Whether a result at the id is the one that is waited for.
    fn is_next(&self, id: ChunkId) -> bool {
        let is_next = |head: &Progress| (id.file, id.index) == (self.head, head.taken);
        self.progress.front().is_some_and(is_next)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The threads to work on; `None` if all is done by the one who takes the results.
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
        let rest = replace(&mut *state, State { head, opened: head, active, ..State::default() });
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

    /// The next result if it is there.
    fn take_next(&self, state: &mut State) -> Option<Result<Next, Error>> {
        let progress = state.progress.front_mut()?;
        let result = match progress.outputs.front_mut() {
            None if progress.is_read => Ok(Next::End),
            None => return None,
            Some(index) => {
                let result = index.take()?;
                progress.outputs.pop_front();
                result.map(Next::Output)
            }
        };
        match &result {
            Ok(Next::Output(index)) => {
                progress.taken += 1;
                state.held -= index.held();
            }
            Ok(Next::End) | Err(_) => {
                // What is worked on and what is an error holds nothing.
                let left =
                    state.progress.pop_front().into_iter().flat_map(|progress| progress.outputs);
                state.held -=
                    left.flatten().flatten().map(|index| index.held()).sum::<usize>() + FILE_COST;
                for (_, reader) in state.readers.extract_if(.., |(file, _)| *file == state.head) {
                    state.held -= reader.held();
                }
                state.head += 1;
            }
        }
        Some(result)
    }

    /// Whether the thread that takes the results works itself: where there is no pool, and on the
    /// first chunk, since most files are no larger than that.
    fn should_work_here(&self, state: &State) -> bool {
        let small = || match self.files.first() {
            Some(file) => !is_packed(&file.path) || !state.chunks.is_empty(),
            None => false,
        };
        (!state.has_begun && small()) || self.pool().is_none()
    }

    // Giving out work

    fn may_read(&self, state: &State, file: usize) -> bool {
        let lacks_all =
            || state.progress.front().is_none_or(|progress| progress.outputs.is_empty());
        state.held < self.max_held || (file == state.head && lacks_all())
    }

    fn take(&self, state: &mut State) -> Option<Job> {
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
    fn claim(&self, state: &mut State) -> usize {
        let open = state.readers.iter().filter(|(file, _)| self.may_read(state, *file)).count();
        let closed = match self.may_read(state, state.opened) {
            true => self.files.len() - state.opened,
            false => 0,
        };
        let more =
            (state.chunks.len() + open + closed).min(self.threads.saturating_sub(state.active));
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
            pool.spawn(move || shared.run_jobs());
        }
    }
}

#[cfg(test)]
mod tests;
