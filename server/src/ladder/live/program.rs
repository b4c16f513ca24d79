//! The program that encoder processes run: this server's own, under another sub-command.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::ladder::VideoEncoderKind;

/// How long a trial of all encoders may take: a busy machine, a slow driver.
const TRIAL: Duration = Duration::from_secs(30);

/// How encoder processes are started.
#[derive(Debug, Clone)]
pub struct EncoderProgram {
    path: PathBuf,
    arguments: Vec<String>,
}

impl EncoderProgram {
    /// The running program; it must understand `encoder`.
    #[must_use]
    pub fn this() -> Self {
        // Also when another version has been put in its place meanwhile.
        Self::new("/proc/self/exe", &["encoder"])
    }

    /// This server at another place.
    #[must_use]
    pub fn at(path: &str) -> Self {
        Self::new(path, &["encoder"])
    }

    pub(super) fn new(path: &str, arguments: &[&str]) -> Self {
        Self { path: path.into(), arguments: arguments.iter().map(|&a| a.to_owned()).collect() }
    }

    /// A command that is to get its input and output.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.arg0("weir-server").args(&self.arguments);
        // It needs no settings, and above all no token.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WEIR_") {
                command.env_remove(name);
            }
        }
        // Ctrl-C in a terminal is the server's business; it lets go of its encoders in order.
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Which encoders work here, tried in a process of their own; none when it does not say.
    pub(super) fn probe(&self) -> Vec<VideoEncoderKind> {
        let spawned = self.command().arg("--probe").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%error, program = %self.path.display(), "cannot start an encoder process");
                return Vec::new();
            }
        };
        let (done, waited) = sync_channel(1);
        let output = child.stdout.take();
        let reading = std::thread::Builder::new().name("weir-probe".to_owned()).spawn(move || {
            let mut line = String::new();
            let read = output.map(|output| output.take(1000).read_to_string(&mut line));
            // Nobody waits any more when it has taken too long.
            let _ = done.send(read.map(|_| line));
        });
        let line = match reading {
            Ok(_) => waited.recv_timeout(TRIAL).ok().flatten().unwrap_or_default(),
            Err(_) => String::new(),
        };
        let _ = child.kill();
        let status = child.wait();
        serde_json::from_str(line.trim()).unwrap_or_else(|_| {
            tracing::error!(?status, "trying the video encoders failed");
            Vec::new()
        })
    }
}
