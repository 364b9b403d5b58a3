//! Files on several threads, with their results in order: the one machinery after counting and
//! encoding, one file or many, whole or part by part.
//!
//! A unit of work is to read a [`Piece`] of a file and to encode it. Only one thread at a time reads a
//! file, and it puts the file back before it encodes, so that another may read on: that way a large
//! file is encoded by all threads, and of many small ones each thread opens and unpacks its own. Files
//! are taken up in order, the earliest that no other thread is reading first.
//!
//! What is guaranteed:
//!
//! - **Order.** A part is given when all before it were; likewise an error, when its turn comes.
//! - **Bounded memory.** Nothing is read while 32 MB are held in pieces and results that
//!   nobody took, but for the one piece that is needed next.
//! - **Nobody waits on the pool.** A thread of the pool works while there is something to do and is
//!   then free for others; it never waits, neither for a caller who takes results nor for a pipe. What
//!   may keep its reader waiting has a thread of its own, which begins when its turn comes.
//! - **An end.** A [`Stream`] that is dropped, or ends with an error of the whole, stops its threads
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
use crate::files::output::{Part, Task};
use crate::files::reader::{Meter, Piece, Source, is_packed};

/// Bytes read at a time.
const PIECE: usize = 1 << 18;
/// So many bytes may wait to be taken.
const HELD: usize = 32 << 20;
/// What a file costs besides its bytes.
const FILE: usize = 512;
/// So many bytes a thread works on before others who wait for the pool get it.
const TURN: usize = 4 << 20;
/// How often the waiting thread calls `check`.
const WAIT: Duration = Duration::from_millis(50);

/// A file to read.
pub struct Named {
    /// Its path, also for messages.
    pub path: PathBuf,
    /// Read standard input, whatever the path.
    pub is_standard_input: bool,
    /// Leave it out if it is binary.
    pub refuses_binary: bool,
}

/// What comes next: a part of the file whose turn it is, or its end.
enum Next {
    Part(Part),
    End,
}

/// Files being read. Several threads may take results; each takes the next.
pub struct Stream {
    shared: Arc<Shared>,
    process: u32,
    /// Is locked by the thread that takes a result.
    turn: Mutex<()>,
    taker: Mutex<Option<ThreadId>>,
}

impl Stream {
    /// Files for a task, on up to `threads` threads. Nothing is done before a result is asked for.
    pub fn new(task: Task, files: Vec<Named>, threads: usize) -> Self {
        Self::with_sizes(task, files, threads, PIECE, HELD)
    }

    /// Bytes read so far, before unpacking; files that were given up count as read.
    pub fn read(&self) -> u64 {
        self.shared.meter.read.load(Ordering::Relaxed)
    }

    /// The next file, whole; `None` after the last. After the error of a file the next one follows;
    /// an error of the whole ends all.
    pub fn next_file(&self, check: &Check) -> Result<Option<Part>, Error> {
        self.in_turn(check, |shared| {
            let (mut whole, mut refused) = (Part::default(), None);
            while let Some(next) = shared.next(check)? {
                match next {
                    // What is left of a file that was given up is no file of its own: it is read on to its end.
                    Next::Part(_) if refused.is_some() => {}
                    Next::Part(part) => {
                        if let Err(error) = whole.join(part) {
                            (whole, refused) = (Part::default(), Some(error));
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

    /// The next part of the files, which is not empty unless a file is; `None` after the last.
    pub fn next_part(&self, check: &Check) -> Result<Option<Part>, Error> {
        self.in_turn(check, |shared| {
            while let Some(next) = shared.next(check)? {
                match next {
                    Next::Part(part) if part.is_first || !part.is_empty() => return Ok(Some(part)),
                    Next::Part(_) | Next::End => {}
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
        let taker = || self.taker.lock().unwrap_or_else(PoisonError::into_inner);
        if *taker() == Some(this) {
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
        *taker() = Some(this);
        let result = take(&self.shared);
        *taker() = None;
        drop(turn);
        if let Err(Error::Interrupted) = result {
            self.shared.end();
        }
        result
    }

    fn with_sizes(
        task: Task,
        files: Vec<Named>,
        threads: usize,
        piece: usize,
        room: usize,
    ) -> Self {
        let (meter, state) = (Arc::default(), Mutex::default());
        let (changed, pool) = (Condvar::new(), OnceLock::new());
        let shared = Shared { files, task, threads, piece, room, meter, state, changed, pool };
        let (turn, taker) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(shared), process: std::process::id(), turn, taker }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // In a forked process one of the threads that are not there may have held the lock.
        if std::process::id() == self.process {
            self.shared.end();
        }
    }
}

/// What the threads share.
struct Shared {
    files: Vec<Named>,
    task: Task,
    threads: usize,
    piece: usize,
    room: usize,
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
    files: VecDeque<Progress>,
    /// Files that may be read on, and their places.
    sources: Vec<(usize, Source)>,
    /// Chunks that were read by a thread that only reads.
    pieces: VecDeque<(Place, Piece)>,
    /// Bytes in sources, pieces and results.
    held: usize,
    /// How many threads work, or are about to.
    active: usize,
    /// Whether the one who takes the results waits for them.
    is_awaited: bool,
    /// Whether some piece was worked on.
    has_begun: bool,
}

/// How far a file is.
#[derive(Default)]
struct Progress {
    /// The results that were not taken, `None` while they are worked on, and how many were taken.
    parts: VecDeque<Option<Result<Part, Error>>>,
    taken: usize,
    /// Whether all of it was read.
    is_read: bool,
    /// Whether it may keep its reader waiting, and waits itself for its turn.
    waits: bool,
}

impl Progress {
    /// Puts a result where its turn comes. One without a place of its own would be waited for in vain, so
    /// that is an error of the file.
    fn hand_in(&mut self, part: usize, result: Result<Part, Error>) {
        let place = part.checked_sub(self.taken).and_then(|place| self.parts.get_mut(place));
        match always(place, "a part of a file has no place") {
            Ok(place) => *place = Some(result),
            Err(error) => self.parts.push_back(Some(Err(error))),
        }
    }
}

/// A file, and a part of it.
#[derive(Clone, Copy)]
struct Place {
    file: usize,
    part: usize,
}

enum Unit {
    Read(usize, Option<Source>),
    Encode(Place, Piece),
}

impl State {
    /// How far a file is that was taken up; `None` if nobody wants it any more.
    fn progress(&mut self, file: usize) -> Option<&mut Progress> {
        debug_assert!(file < self.opened);
        self.files.get_mut(file.checked_sub(self.head)?)
    }

    /// Notes that a piece of `file` is worked on; `None` if nobody wants it any more.
    fn begin(&mut self, file: usize, piece: &Piece) -> Option<Place> {
        let progress = self.progress(file)?;
        progress.parts.push_back(None);
        progress.is_read = piece.last;
        let part = progress.taken + progress.parts.len() - 1;
        self.held += piece.text().len();
        Some(Place { file, part })
    }

    fn put_back(&mut self, file: usize, source: Source) {
        if file >= self.head {
            self.held += source.held();
            self.sources.push((file, source));
        }
    }

    /// Whether a result at the place is the one that is waited for.
    fn is_next(&self, place: Place) -> bool {
        let is_next = |head: &Progress| (place.file, place.part) == (self.head, head.taken);
        self.files.front().is_some_and(is_next)
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
            if let Some(progress) = state.files.front_mut().filter(|progress| progress.waits) {
                progress.waits = false;
                let file = state.head;
                drop(state);
                self.start_following(file);
                continue;
            }
            if self.works_here(&state)
                && let Some(unit) = self.take(&mut state)
            {
                state.active += 1;
                drop(state);
                let result = self.run(unit, &mut Vec::new(), check);
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
        let progress = state.files.front_mut()?;
        let result = match progress.parts.front_mut() {
            None if progress.is_read => Ok(Next::End),
            None => return None,
            Some(part) => {
                let result = part.take()?;
                progress.parts.pop_front();
                result.map(Next::Part)
            }
        };
        match &result {
            Ok(Next::Part(part)) => {
                progress.taken += 1;
                state.held -= part.held();
            }
            Ok(Next::End) | Err(_) => {
                // What is worked on and what is an error holds nothing.
                let left = state.files.pop_front().into_iter().flat_map(|progress| progress.parts);
                state.held -=
                    left.flatten().flatten().map(|part| part.held()).sum::<usize>() + FILE;
                for (_, source) in state.sources.extract_if(.., |(file, _)| *file == state.head) {
                    state.held -= source.held();
                }
                state.head += 1;
            }
        }
        Some(result)
    }

    /// Whether the thread that takes the results works itself: where there is no pool, and on the
    /// first piece, since most files are no larger than that.
    fn works_here(&self, state: &State) -> bool {
        let small = || match self.files.first() {
            Some(file) => !is_packed(&file.path) || !state.pieces.is_empty(),
            None => false,
        };
        (!state.has_begun && small()) || self.pool().is_none()
    }

    // Giving out work

    fn may_read(&self, state: &State, file: usize) -> bool {
        let lacks_all = || state.files.front().is_none_or(|progress| progress.parts.is_empty());
        state.held < self.room || (file == state.head && lacks_all())
    }

    fn take(&self, state: &mut State) -> Option<Unit> {
        if let Some((place, piece)) = state.pieces.pop_front() {
            return Some(Unit::Encode(place, piece));
        }
        let files = state.sources.iter().map(|(file, _)| *file).enumerate();
        if let Some((at, file)) = files.min_by_key(|(_, file)| *file) {
            return self.may_read(state, file).then(|| {
                let (file, source) = state.sources.swap_remove(at);
                state.held -= source.held();
                Unit::Read(file, Some(source))
            });
        }
        let file = state.opened;
        (file < self.files.len() && self.may_read(state, file)).then(|| {
            state.opened += 1;
            state.files.push_back(Progress::default());
            state.held += FILE;
            Unit::Read(file, None)
        })
    }

    /// For how many more threads there is work; they count as active from now on.
    fn claim(&self, state: &mut State) -> usize {
        let open = state.sources.iter().filter(|(file, _)| self.may_read(state, *file)).count();
        let closed = match self.may_read(state, state.opened) {
            true => self.files.len() - state.opened,
            false => 0,
        };
        let more =
            (state.pieces.len() + open + closed).min(self.threads.saturating_sub(state.active));
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
            pool.spawn(move || shared.work());
        }
    }
}

#[cfg(test)]
mod tests;
