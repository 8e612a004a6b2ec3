//! `wasi:http/client`: requests that a component sends, to granted hosts only.
//!
//! As in Spin, a component can send requests to the application itself (`http://self.alt/…`, or a URL without a host).
//! Such a request goes to the address that this host listens on, and comes in like any other.
//!
//! Only instances behind HTTP routes can do that. In Spin, other triggers run in processes of their own and do not know
//! the address.

use std::sync::Arc;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::allowed_hosts::{Destination, SELF};
use crate::component::Component;
use crate::log;

/// Sends the requests of one instance, as far as its component's grants allow.
pub struct OutboundHttp {
    component: Arc<Component>,
    /// The address of the application itself, for an instance behind an HTTP route.
    origin: Option<Authority>,
}

impl OutboundHttp {
    /// Sends requests for an instance of `component`.
    pub fn new(component: Arc<Component>, origin: Option<Authority>) -> Self {
        Self { component, origin }
    }

    /// Checks the grant. Gives a request to the application itself the application's address.
    fn prepare(&self, request: &mut http::Request<WasiBody>) -> Result<(), Error> {
        let host = request.uri().host().unwrap_or_default();
        if host.is_empty() || host.eq_ignore_ascii_case(SELF) {
            if !self.component.allowed_hosts.allow_self() {
                return Err(self.refuse("the application itself", "http://self"));
            }
            let origin = self.origin.as_ref().ok_or(Error::HttpRequestUriInvalid)?;
            return readdress(request, origin);
        }
        let destination = Destination::parse(&request.uri().to_string()).ok_or(Error::HttpRequestDenied)?;
        if self.component.allowed_hosts.allow(&destination) {
            return Ok(());
        }
        let destination = destination.to_string();
        Err(self.refuse(&destination, "it"))
    }

    fn refuse(&self, destination: &str, rule: &str) -> Error {
        let message =
            format!("refused a request to {destination}: add {rule} to allowed_outbound_hosts to grant it");
        log::warn(Some(&self.component.id), &message);
        Error::HttpRequestDenied
    }
}

fn readdress(request: &mut http::Request<WasiBody>, origin: &Authority) -> Result<(), Error> {
    let host = HeaderValue::from_str(origin.as_str()).map_err(|_| Error::HttpRequestUriInvalid)?;
    request.headers_mut().insert(HOST, host);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(origin.clone());
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Error::HttpRequestUriInvalid)?;
    Ok(())
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for OutboundHttp {
    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send> {
        if let Err(error) = self.prepare(&mut request) {
            return Box::new(async { Err(error) });
        }
        Box::new(async move {
            let (response, io) = default_send_request(request, options).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(io) as Io))
        })
    }
}
