//! The program that encoder processes run: this server's own, under another sub-command.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::ladder::VideoEncoderKind;
use crate::ladder::log::Voice;

/// How long a trial of all encoders may take: a busy machine, a slow driver.
const TRIAL: Duration = Duration::from_secs(30);

/// Longest line of a process's standard error that is kept, in bytes.
const LONGEST_LINE: u64 = 2000;
/// How long its last words are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a process says on standard error, line by line on its way to the stream's log.
pub(crate) struct LastWords(Option<Receiver<()>>);

impl LastWords {
    /// Begins to listen, if the child's standard error is there to be read.
    pub(crate) fn of(child: &mut Child, voice: Voice) -> Self {
        let Some(errors) = child.stderr.take() else { return Self(None) };
        let (end, ended) = sync_channel(1);
        let keep = move || {
            let mut errors = BufReader::new(errors);
            let mut line = Vec::new();
            while matches!((&mut errors).take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim().to_owned();
                if !text.is_empty() {
                    voice.warn(text);
                }
                line.clear();
            }
            let _ = end.send(());
        };
        // Without the thread, what the process says is lost, and nothing else.
        let started = std::thread::Builder::new().name("weir-enc-err".to_owned()).spawn(keep);
        Self(started.is_ok().then_some(ended))
    }

    /// Waits a little for what a process has said that is no more.
    pub(crate) fn wait(self) {
        if let Some(ended) = self.0 {
            let _ = ended.recv_timeout(LAST_WORDS);
        }
    }
}

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
