//! Finding the files of a folder, as git sees them.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ignore::overrides::{Override, OverrideBuilder};

use crate::error::{Check, Error};

/// How folders are walked.
pub struct Walk<'a> {
    /// Hidden files too.
    pub hidden: bool,
    /// Also what `.gitignore` and `.ignore` leave out.
    pub no_ignore: bool,
    /// Only what one of these matches; with `!` in front, not what it matches.
    pub globs: &'a [String],
}

impl Walk<'_> {
    /// The files under `root` in the order of their paths, with an error for each that could not be
    /// read. Links are not followed.
    pub fn files(&self, root: &Path, check: &Check) -> Result<Vec<Result<PathBuf, Error>>, Error> {
        let globs = self.globs(root)?;
        // A glob narrows what is walked; as the walk's own override it would bring back what
        // `.gitignore` leaves out.
        let excluded = globs.clone();
        let walk = WalkBuilder::new(root)
            .standard_filters(!self.no_ignore)
            .hidden(!self.hidden)
            .require_git(false)
            .filter_entry(move |entry| {
                let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
                let dropped = is_folder && excluded.matched(entry.path(), true).is_ignore();
                entry.file_name() != ".git" && !(dropped && entry.depth() > 0)
            })
            .sort_by_file_path(Path::cmp)
            .build();
        let mut files = Vec::new();
        for entry in walk {
            check()?;
            match entry {
                Ok(entry) if !entry.file_type().is_some_and(|kind| kind.is_file()) => {}
                Ok(entry) if globs.matched(entry.path(), false).is_ignore() => {}
                Ok(entry) => files.push(Ok(entry.into_path())),
                Err(error) => files.push(Err(walk_error(root, error))),
            }
        }
        Ok(files)
    }

    fn globs(&self, root: &Path) -> Result<Override, Error> {
        let mut globs = OverrideBuilder::new(root);
        let added = self.globs.iter().try_for_each(|glob| globs.add(glob).map(|_| ()));
        added.and_then(|()| globs.build()).map_err(|error| Error::Input {
            path: root.to_owned(),
            line: None,
            reason: error.to_string(),
        })
    }
}

/// Finds the path and the system's error inside what the walk reports.
fn walk_error(root: &Path, error: ignore::Error) -> Error {
    match error {
        ignore::Error::WithPath { path, err } => walk_error(&path, *err),
        ignore::Error::WithDepth { err, .. } => walk_error(root, *err),
        ignore::Error::Io(source) => {
            let path = root.to_owned();
            match system_error(&source) {
                Some(number) => {
                    Error::Io { path, source: std::io::Error::from_raw_os_error(number) }
                }
                None => Error::Input { path, line: None, reason: source.to_string() },
            }
        }
        other => Error::Input { path: root.to_owned(), line: None, reason: other.to_string() },
    }
}

/// The system's number of an error that the walk may have wrapped in one of its own.
fn system_error(error: &std::io::Error) -> Option<i32> {
    let inner = || error.source()?.downcast_ref::<std::io::Error>()?.raw_os_error();
    error.raw_os_error().or_else(inner)
}
