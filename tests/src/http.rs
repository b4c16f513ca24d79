//! Requests as a person with curl makes them.

use std::{path::Path, sync::OnceLock, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::Value;

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts")
    })
}

fn client() -> reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT
        .get_or_init(|| {
            reqwest::Client::builder().timeout(Duration::from_secs(60)).build().expect("a client")
        })
        .clone()
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Any request.
pub fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<Vec<u8>>,
) -> anyhow::Result<Answer> {
    // Made inside: reqwest's time-outs need the runtime from the first moment.
    runtime().block_on(async {
        let mut request = client().request(method.parse()?, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    })
}

/// GET.
pub fn get(url: &str) -> anyhow::Result<Answer> {
    send("GET", url, &[], None)
}

/// GET of JSON that must succeed.
pub fn get_json(url: &str) -> anyhow::Result<Value> {
    let answer = get(url)?;
    if answer.status != 200 {
        bail!("{url}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    answer.json()
}

/// POST of JSON.
pub fn post_json(url: &str, body: &Value) -> anyhow::Result<Answer> {
    send("POST", url, &[("content-type", "application/json")], Some(body.to_string().into_bytes()))
}

/// GET into a file.
pub fn download(url: &str, to: &Path) -> anyhow::Result<u64> {
    let answer = get(url)?;
    if answer.status != 200 {
        bail!("{url}: {}", answer.status);
    }
    std::fs::write(to, &answer.body)?;
    Ok(answer.body.len() as u64)
}
