//! A web server that sends whatever bytes it is told to, one answer a connection.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use url::Url;

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub path: String,
    /// First byte of the range.
    pub from: Option<usize>,
}

type Answer = dyn Fn(&Asked) -> Vec<u8> + Send + Sync;

/// Runs until the process ends.
pub struct Raw {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Raw {
    pub fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (all, answer): (_, Arc<Answer>) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
                thread::spawn(move || serve(connection, &all, &*answer));
            }
        });
        Self { address, asked }
    }

    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    /// All that was asked for, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut connection: TcpStream, all: &Mutex<Vec<Asked>>, answer: &Answer) -> Option<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = connection.read(&mut piece).ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&piece[..read]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let path = head.split(' ').nth(1)?.to_owned();
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let from = range.and_then(|range| range.split('-').next()?.parse().ok());
    let asked = Asked { path, from };
    all.lock().unwrap().push(asked.clone());
    connection.write_all(&answer(&asked)).ok()?;
    connection.shutdown(Shutdown::Write).ok()?;
    // Closed with bytes unread, a socket takes back what was sent.
    connection.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    while connection.read(&mut piece).ok()? > 0 {}
    Some(())
}

/// Status line and header fields.
pub fn head(status: &str, fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{fields}\r\n").into_bytes()
}

/// All of a body, said to be `length` bytes long.
pub fn sized(body: &[u8], length: usize) -> Vec<u8> {
    [head("200 OK", &format!("content-length: {length}\r\n")), body.to_vec()].concat()
}

/// The rest of a body from a byte on.
pub fn rest(body: &[u8], from: usize) -> Vec<u8> {
    let (all, left) = (body.len(), &body[from.min(body.len())..]);
    if left.is_empty() {
        return head("416 Range Not Satisfiable", &format!("content-range: bytes */{all}\r\n"));
    }
    let fields =
        format!("content-length: {}\r\ncontent-range: bytes {from}-{}/{all}\r\n", left.len(), all - 1);
    [head("206 Partial Content", &fields), left.to_vec()].concat()
}
