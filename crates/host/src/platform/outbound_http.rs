//! `wasi:http/client`: requests that a component sends, to granted hosts only.

use std::sync::Arc;

use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::allowed_hosts::Destination;
use crate::component::Component;
use crate::log;

/// The grants of one instance's component.
pub struct OutboundHttp {
    component: Arc<Component>,
}

impl OutboundHttp {
    /// Sends for this component.
    pub fn new(component: Arc<Component>) -> Self {
        Self { component }
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for OutboundHttp {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send> {
        let destination = Destination::parse(&request.uri().to_string());
        let granted =
            destination.as_ref().is_some_and(|destination| self.component.allowed_hosts.allow(destination));
        if !granted {
            if let Some(destination) = destination {
                log::warn(
                    Some(&self.component.id),
                    &format!(
                        "refused a request to {destination}: add it to allowed_outbound_hosts to grant it"
                    ),
                );
            }
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        Box::new(async move {
            let (response, io) = default_send_request(request, options).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(io) as Io))
        })
    }
}
