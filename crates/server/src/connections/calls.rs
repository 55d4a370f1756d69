//! Counts the calls under way on each connection: a layer around all services.
//!
//! A call begins with its request's headers, and ends when the last of its response has been given
//! to the transport, or when either side gives it up: its guard lives in the response's body.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Bytes, Service};
use tower_layer::Layer;

use super::{Call, Place};

/// Counts the calls of a service.
#[derive(Clone, Copy, Debug)]
pub struct CountCalls;

impl<S> Layer<S> for CountCalls {
    type Service = Counted<S>;

    fn layer(&self, service: S) -> Counted<S> {
        Counted(service)
    }
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Counted<S>(S);

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let place = request.extensions().get::<Place>();
        let place = place.expect("every connection gives its requests its place");
        let Some(call) = place.begin_call() else {
            let closed = Status::unavailable("this connection is closed; open another");
            return Box::pin(async move { Ok(closed.into_http()) });
        };
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| Body::new(CallBody { body, _call: call })))
        })
    }
}

/// The body of a response, and the call that it answers.
#[derive(Debug)]
struct CallBody {
    body: Body,
    _call: Call,
}

impl HttpBody for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
