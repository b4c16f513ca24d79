//! The webhooks' file, which holds their secrets and is for its owner only.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::model::HookSetting;

pub(super) type Kept = BTreeMap<String, HookSetting>;

pub(super) fn read(path: &Path) -> anyhow::Result<Kept> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
            format!("{} is damaged; mend it, or delete it to go on without webhooks", path.display())
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read the webhooks in {}", path.display())),
    }
}

pub(super) fn write(path: &Path, hooks: &Kept) -> io::Result<()> {
    let part = path.with_extension("json.tmp");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(&serde_json::to_vec_pretty(hooks)?)?;
    file.sync_all()?;
    fs::rename(&part, path)
}
