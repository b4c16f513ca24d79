//! A file that only takes room, given up when the disk is full: so that even then a stream's failure can be recorded
//! and a stream can be deleted, which makes room again.

use std::fs;
use std::path::PathBuf;

/// Room that the file keeps, in bytes: thousands of changes to the catalogue.
const SIZE: u64 = 1 << 20;
/// With less than this free the file goes.
const NEED: u64 = SIZE / 2;
/// With more than this free it comes (again).
const PLENTY: u64 = 4 * SIZE;

#[derive(Debug)]
pub(super) struct Ballast(PathBuf);

impl Ballast {
    pub(super) fn beside(database: &std::path::Path) -> Self {
        Self(database.with_file_name("ballast"))
    }

    /// Gives the file up or makes it, by the room there is.
    pub(super) fn settle(&self) {
        let Some(free) = self.0.parent().and_then(|folder| rustix::fs::statvfs(folder).ok()) else { return };
        let (free, there) = (free.f_bavail.saturating_mul(free.f_frsize), self.0.exists());
        let done = if there && free < NEED {
            tracing::warn!("the disk of the data folder is full; delete streams or make room");
            fs::remove_file(&self.0)
        } else if !there && free > PLENTY {
            fs::write(&self.0, vec![0; SIZE as usize])
        } else {
            return;
        };
        if let Err(error) = done {
            tracing::warn!(path = %self.0.display(), %error, "cannot keep room for the catalogue");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_kept_where_there_is_plenty() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::beside(&folder.path().join("catalog.sqlite3"));
        ballast.settle();
        ballast.settle();
        assert_eq!(fs::metadata(folder.path().join("ballast")).unwrap().len(), SIZE);
    }
}
