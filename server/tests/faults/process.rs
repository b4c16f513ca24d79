//! The program itself as a child process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Answer, PATIENCE};

pub struct Process {
    pub child: Child,
    pub address: String,
    pub scheme: String,
}

impl Process {
    /// Starts it on a port of the system's choice; its log goes to `data/../log`.
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_with(data, arguments, &[])
    }

    pub fn start_with(data: &Path, arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-server"));
        command.envs(environment.iter().copied());
        Self::spawn(command, data, arguments)
    }

    /// Has another program start it.
    pub fn start_under(outer: &[&str], data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(outer[0]);
        command.args(&outer[1..]).arg(env!("CARGO_BIN_EXE_weir-server"));
        Self::spawn(command, data, arguments)
    }

    fn spawn(mut command: Command, data: &Path, arguments: &[&str]) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data.parent().unwrap().join("log"))
            .unwrap();
        let reserve: &[&str] =
            if arguments.contains(&"--disk-reserve-mb") { &[] } else { &["--disk-reserve-mb", "0"] };
        // Side by side, servers would fight for RTMP's port.
        let rtmp: &[&str] = if arguments.contains(&"--rtmp") { &[] } else { &["--rtmp", "off"] };
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(reserve)
            .args(rtmp)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect(&line);
        let (scheme, address) = url.split_once("://").unwrap();
        Self { address: address.to_owned(), scheme: scheme.to_owned(), child }
    }

    pub fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.send_raw(method, path, &format!("{headers}Content-Length: {}\r\n", body.len()), body)
    }

    /// With headers that say themselves how long the body is.
    pub fn send_raw(&self, method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        Self::ask(&self.address, method, path, headers, body.as_ref())
    }

    /// The same from a thread that has only the address.
    pub fn ask(address: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             {headers}\r\n"
        );
        // A refusal may come before everything is taken, and with a reset behind it.
        let _ = socket.write_all(&[request.as_bytes(), body].concat());
        let mut all = Vec::new();
        let read = socket.read_to_end(&mut all);
        if all.is_empty() {
            read.unwrap();
        }
        Answer::parse(&all)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end and says how long it took.
    pub fn wait(&mut self, longest: Duration) -> (ExitStatus, Duration) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, start.elapsed());
            }
            assert!(start.elapsed() < longest, "it has not ended after {longest:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Resident memory in kB.
    pub fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `done` says so.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
