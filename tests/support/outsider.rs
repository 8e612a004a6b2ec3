//! An HTTP service of somebody else, as Stampede's functions call it. It remembers the requests and responds as the test
//! says.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request that the service got.
#[derive(Clone, Debug)]
pub struct Question {
    pub path: String,
    pub headers: hyper::HeaderMap,
    pub body: Value,
}

/// What the service does about a request.
pub enum Reply {
    Json(u16, Value),
    /// A body of any kind.
    Text(u16, &'static str),
    /// Takes the request and never responds.
    Never,
}

type Manner = Box<dyn Fn(&Question) -> Reply + Send>;

/// A running service. Dropping it closes its port.
pub struct Outsider {
    origin: String,
    questions: Arc<Mutex<Vec<Question>>>,
    manner: Arc<Mutex<Manner>>,
    serving: JoinHandle<()>,
}

impl Outsider {
    /// Starts a service that responds in this manner.
    pub async fn start(manner: impl Fn(&Question) -> Reply + Send + 'static) -> Outsider {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let questions = Arc::new(Mutex::new(Vec::new()));
        let manner: Arc<Mutex<Manner>> = Arc::new(Mutex::new(Box::new(manner)));
        let serving = tokio::spawn(serve(listener, questions.clone(), manner.clone()));
        Outsider { origin, questions, manner, serving }
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// From now on it responds in this manner.
    pub fn change(&self, manner: impl Fn(&Question) -> Reply + Send + 'static) {
        *self.manner.lock().unwrap() = Box::new(manner);
    }

    /// The requests so far.
    pub fn questions(&self) -> Vec<Question> {
        self.questions.lock().unwrap().clone()
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, questions: Arc<Mutex<Vec<Question>>>, manner: Arc<Mutex<Manner>>) {
    // Connections end with the server.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (questions, manner) = (questions.clone(), manner.clone());
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, &questions, &manner));
            // Some tests have callers that go away in the middle.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    questions: &Mutex<Vec<Question>>,
    manner: &Mutex<Manner>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let question = Question { path: head.uri.path().to_owned(), headers: head.headers, body };
    questions.lock().unwrap().push(question.clone());
    let reply = manner.lock().unwrap()(&question);
    let (status, media_type, body) = match reply {
        Reply::Json(status, value) => (status, "application/json", value.to_string()),
        Reply::Text(status, text) => (status, "text/plain", text.to_owned()),
        Reply::Never => std::future::pending().await,
    };
    let response = hyper::Response::builder().status(status).header("content-type", media_type);
    Ok(response.body(Full::new(Bytes::from(body))).expect("tests answer with real statuses"))
}
