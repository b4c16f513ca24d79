//! Whole files or none.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::StoreError;

/// Writes `bytes` under a temporary name beside `path` and renames it.
///
/// With `fsync`, file and folder are flushed to the disk first, so the name never refers to a torn file even
/// after a power cut.
pub(super) fn write(path: &Path, bytes: &[u8], fsync: bool) -> Result<(), StoreError> {
    let temporary = path.with_extension("tmp");
    let result = through(&temporary, path, bytes, fsync);
    if result.is_err() {
        // On a full disk half a file is in the way.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn through(temporary: &Path, path: &Path, bytes: &[u8], fsync: bool) -> Result<(), StoreError> {
    let mut file = File::create(temporary).map_err(|e| StoreError::io("create", temporary, e))?;
    file.write_all(bytes).map_err(|e| StoreError::io("write", temporary, e))?;
    if fsync {
        file.sync_all().map_err(|e| StoreError::io("flush", temporary, e))?;
    }
    drop(file);
    fs::rename(temporary, path).map_err(|e| StoreError::io("rename", temporary, e))?;
    if fsync && let Some(folder) = path.parent() {
        let folder_file = File::open(folder).map_err(|e| StoreError::io("open", folder, e))?;
        folder_file.sync_all().map_err(|e| StoreError::io("flush", folder, e))?;
    }
    Ok(())
}
