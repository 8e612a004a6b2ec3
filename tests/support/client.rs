//! HTTP as our shoppers and sellers speak it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use testkit::eventually;

use crate::contract::Contract;

/// Speaks to one host, as one person.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    address: Option<String>,
    contract: Option<Arc<Contract>>,
}

/// A request about to be sent.
pub struct Request {
    method: Method,
    path: String,
    contract: Option<Arc<Contract>>,
    builder: reqwest::RequestBuilder,
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// What was asked, for a failing test to say.
    asked: String,
}

impl Client {
    pub fn new(base: &str) -> Client {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            // Tests look at compression themselves.
            .no_gzip()
            .no_brotli()
            .no_proxy()
            .build()
            .expect("a client without TLS needs nothing");
        Client { http, base: base.to_owned(), token: None, address: None, contract: None }
    }

    /// The same person at another host.
    pub fn at(&self, base: &str) -> Client {
        Client { base: base.to_owned(), ..self.clone() }
    }

    /// The same host, as the bearer of this token.
    pub fn bearing(&self, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same host behind a proxy, which says that the client has this address.
    pub fn from_address(&self, address: &str) -> Client {
        Client { address: Some(address.to_owned()), ..self.clone() }
    }

    /// From now on every response has to be as the document says.
    pub fn checked_against(&self, contract: Arc<Contract>) -> Client {
        Client { contract: Some(contract), ..self.clone() }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    pub fn request(&self, method: Method, path: &str) -> Request {
        let mut builder = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token);
        }
        if let Some(address) = &self.address {
            builder = builder.header("x-forwarded-for", address);
        }
        Request { method, path: path.to_owned(), contract: self.contract.clone(), builder }
    }
}

impl Request {
    pub fn json(mut self, body: &Value) -> Request {
        self.builder = self.builder.json(body);
        self
    }

    /// A body as it is; the content type is the caller's to set.
    pub fn body(mut self, body: impl Into<reqwest::Body>) -> Request {
        self.builder = self.builder.body(body);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.builder = self.builder.header(name, value);
        self
    }

    /// Panics when there is no response.
    pub async fn send(self) -> Response {
        let asked = self.asked();
        self.try_send().await.unwrap_or_else(|error| panic!("{asked} got no response: {error:?}"))
    }

    /// Fails when there is no response, as while a host is dead.
    pub async fn try_send(self) -> Result<Response, reqwest::Error> {
        let asked = self.asked();
        let response = self.builder.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        let response = Response { status, headers, body, asked };
        if let Some(contract) = &self.contract {
            contract.check(&self.method, &self.path, &response);
        }
        Ok(response)
    }

    /// Tries again for as long as there is no response, or one that says to try later, as a page does.
    pub async fn insist(self) -> Response {
        let asked = self.asked();
        eventually(&format!("a response to {asked}"), Duration::from_secs(60), async || {
            let attempt = Request {
                method: self.method.clone(),
                path: self.path.clone(),
                contract: self.contract.clone(),
                builder: self.builder.try_clone().expect("bodies are bytes"),
            };
            attempt.try_send().await.ok().filter(|response| response.status != 503)
        })
        .await
    }

    fn asked(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Response {
    /// The body, which has to be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self} is not JSON: {error}"))
    }

    /// Fails unless the status is this one. Returns the body.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Fails unless the response is a problem with this status and slug, shaped as the contract says.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{self}");
        assert_eq!(problem["status"], status, "{self}");
        for member in ["title", "detail", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "no `{member}` in {self}");
        }
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self}");
        if matches!(status, 429 | 503) {
            let seconds = self.header("retry-after").and_then(|text| text.parse::<u64>().ok());
            assert!(seconds.is_some_and(|seconds| seconds > 0), "no whole Retry-After in {self}");
        }
        problem
    }

    /// The slug of a problem, or nothing.
    pub fn slug(&self) -> Option<String> {
        let problem: Value = serde_json::from_slice(&self.body).ok()?;
        Some(problem["type"].as_str()?.strip_prefix("/problems/")?.to_owned())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("tests spell headers right");
        self.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status =
            StatusCode::from_u16(self.status).map_or_else(|_| self.status.to_string(), |s| s.to_string());
        let body = String::from_utf8_lossy(&self.body);
        let body: String = body.chars().take(800).collect();
        write!(formatter, "{} → {status}, {:?}: {body}", self.asked, self.headers)
    }
}
