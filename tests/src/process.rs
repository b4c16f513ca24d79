//! The real programs, started and ended.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::sync_channel,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::Log;

/// Path of one of our programs.
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a test knows where it is");
    // target/debug/deps/name-hash
    let path = exe.ancestors().nth(2).expect("tests live in target/PROFILE/deps").join(name);
    assert!(path.exists(), "{} is not built: cargo build --workspace --all-targets", path.display());
    path
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("bound").port()
}

/// A child that never outlives the test.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Ends it at once, as `kill -9` would.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Asks it to end, as a service manager would, and waits for it.
    pub fn terminate(&mut self, patience: Duration) -> anyhow::Result<std::process::ExitStatus> {
        Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status()?;
        self.wait(patience)
    }

    /// Waits for its end.
    pub fn wait(&mut self, patience: Duration) -> anyhow::Result<std::process::ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                self.kill();
                bail!("still running after {patience:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has it ended?
    pub fn ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts `command` and waits for the first line of its standard output that `find` accepts.
fn start_and_find(
    mut command: Command,
    find: impl Fn(&str) -> Option<String> + Send + 'static,
) -> anyhow::Result<(Running, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let stdout = child.stdout.take().context("piped")?;
    let running = Running(child);
    let (found, wait) = sync_channel(1);
    thread::spawn(move || {
        // Reads on to the end, so that the child never blocks on a full pipe.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(value) = find(&line) {
                let _ = found.try_send(value);
            }
        }
    });
    let value = wait
        .recv_timeout(Duration::from_secs(20))
        .with_context(|| format!("{command:?} did not say where it listens"))?;
    Ok((running, value))
}

fn url_in(line: &str) -> Option<String> {
    let from = line.find("http://").or_else(|| line.find("https://"))?;
    Some(line[from..].split_whitespace().next()?.trim_end_matches(['/', ',', ')']).to_owned())
}

/// A running `weir-server`.
#[derive(Debug)]
pub struct Server {
    process: Running,
    /// Like `http://127.0.0.1:40123`.
    pub url: String,
}

impl Server {
    /// Starts one on `data`, at a port of its own choice.
    pub fn start(data: &Path) -> anyhow::Result<Self> {
        Self::start_at(data, 0, &[] as &[&str])
    }

    /// Starts one on `data`, at `port`, with more arguments.
    pub fn start_at(data: &Path, port: u16, more: &[impl AsRef<OsStr>]) -> anyhow::Result<Self> {
        fs::create_dir_all(data)?;
        let log = fs::File::create(data.join("server.log"))?;
        let mut command = Command::new(program("weir-server"));
        command.arg("--data").arg(data).arg("--listen").arg(format!("127.0.0.1:{port}")).args(more);
        command.stderr(log);
        let (process, url) = start_and_find(command, url_in)?;
        Ok(Self { process, url })
    }

    /// The multivariant playlist of a stream.
    pub fn hls(&self, id: &str) -> String {
        format!("{}/stream/{id}/hls/master.m3u8", self.url)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the URL ends in a port")
    }

    /// Ends it as `kill -9` would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it as a service manager would.
    pub fn terminate(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        self.process.terminate(Duration::from_secs(15))
    }
}

/// A running `weir proxy`.
#[derive(Debug)]
pub struct Proxy {
    _process: Running,
    /// Like `http://127.0.0.1:40124`.
    pub url: String,
}

impl Proxy {
    /// Starts one before `upstream`; `args` say how the link is.
    pub fn start(upstream: &str, args: &[impl AsRef<OsStr>]) -> anyhow::Result<Self> {
        let mut command = Command::new(program("weir"));
        command.arg("proxy").arg("--upstream").arg(upstream).arg("--listen").arg("127.0.0.1:0").args(args);
        command.stderr(Stdio::null());
        let (process, url) = start_and_find(command, url_in)?;
        Ok(Self { _process: process, url })
    }

    /// The multivariant playlist of a stream, through the link.
    pub fn hls(&self, id: &str) -> String {
        format!("{}/stream/{id}/hls/master.m3u8", self.url)
    }
}

/// A running headless `weir play`, or the window.
#[derive(Debug)]
pub struct Player {
    process: Running,
    events: PathBuf,
    _folder: tempfile::TempDir,
}

impl Player {
    /// Plays `url` without a display; the log goes to a file of its own.
    pub fn headless(url: &str, args: &[impl AsRef<OsStr>]) -> anyhow::Result<Self> {
        Self::start(url, &["--headless"], args, None, &[])
    }

    /// The same, with these variables in its environment.
    pub fn headless_with(
        url: &str,
        args: &[impl AsRef<OsStr>],
        variables: &[(&str, &OsStr)],
    ) -> anyhow::Result<Self> {
        Self::start(url, &["--headless"], args, None, variables)
    }

    /// Plays `url` in a window on `display`.
    pub fn window(url: &str, display: &str, args: &[impl AsRef<OsStr>]) -> anyhow::Result<Self> {
        Self::start(url, &[] as &[&str], args, Some(display), &[])
    }

    fn start(
        url: &str,
        first: &[&str],
        args: &[impl AsRef<OsStr>],
        display: Option<&str>,
        variables: &[(&str, &OsStr)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let events = folder.path().join("events.jsonl");
        let mut command = weir_of_a_new_user(folder.path(), display)?;
        command.arg("play").arg(url).args(first).arg("--events").arg(&events).args(args);
        command.envs(variables.iter().copied());
        let process = Running(command.spawn().with_context(|| format!("{command:?}"))?);
        Ok(Self { process, events, _folder: folder })
    }

    /// The log as far as it is written.
    pub fn log(&self) -> anyhow::Result<Log> {
        Log::read(&self.events)
    }

    /// Waits until the log satisfies `enough`.
    pub fn wait_for(&mut self, patience: Duration, enough: impl Fn(&Log) -> bool) -> anyhow::Result<Log> {
        let until = Instant::now() + patience;
        loop {
            let log = self.log().unwrap_or_default();
            if enough(&log) {
                return Ok(log);
            }
            if self.process.ended() || Instant::now() > until {
                bail!("the player did not get there; its log:\n{}", log.tail(30));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for its end and gives its log; fails when it ended badly.
    pub fn finish(mut self, patience: Duration) -> anyhow::Result<Log> {
        let status = self.process.wait(patience);
        let log = self.log()?;
        match status {
            Ok(status) if status.success() => Ok(log),
            Ok(status) => bail!("the player ended with {status}; its log:\n{}", log.tail(30)),
            Err(error) => bail!("{error}; its log:\n{}", log.tail(30)),
        }
    }

    /// Waits for its end, whatever it is.
    pub fn outcome(mut self, patience: Duration) -> anyhow::Result<(std::process::ExitStatus, Log)> {
        let status = self.process.wait(patience)?;
        Ok((status, self.log()?))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// A running window with the list of a server's streams.
#[derive(Debug)]
pub struct Home {
    _process: Running,
    _folder: tempfile::TempDir,
}

impl Home {
    /// Opens the list of `server` on `display`.
    pub fn window(server: &str, display: &str, args: &[impl AsRef<OsStr>]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = weir_of_a_new_user(folder.path(), Some(display))?;
        command.arg("--server").arg(server).args(args);
        let process = Running(command.spawn().with_context(|| format!("{command:?}"))?);
        Ok(Self { _process: process, _folder: folder })
    }
}

/// The player as somebody starts it who never did: no remembered estimates, no remembered window.
fn weir_of_a_new_user(folder: &Path, display: Option<&str>) -> anyhow::Result<Command> {
    let mut command = Command::new(program("weir"));
    command.env("XDG_CONFIG_HOME", folder).env("XDG_DATA_HOME", folder);
    // The cache stays: it holds the list of GStreamer plug-ins, which nobody makes anew at each start.
    command.env("XDG_STATE_HOME", folder);
    command.env_remove("WAYLAND_DISPLAY").env_remove("DISPLAY");
    if let Some(display) = display {
        command.env("DISPLAY", display);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if std::env::var_os("WEIR_TEST_VERBOSE").is_none() {
        command.stderr(fs::File::create(folder.join("stderr.log"))?);
    }
    Ok(command)
}

/// Runs a program to its end and gives what it printed.
pub fn run(name: &str, args: &[impl AsRef<OsStr>]) -> anyhow::Result<std::process::Output> {
    Ok(Command::new(program(name)).args(args).stdin(Stdio::null()).output()?)
}
