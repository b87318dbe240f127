//! The metrics of plain HTTP: requests by route, method and status class. A route is a template
//! such as `/api/v1/orders/{order_req_id}`, never a path, so that the number of series does not
//! grow with requests.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{Method, StatusCode};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Buckets of the time until a response's head is sent, seconds.
const BOUNDS: [f64; 10] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];
/// The route label of requests without a route.
const OTHER: &str = "other";

/// The series of plain HTTP; one set for all ports of a process.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl HttpMetrics {
    /// Creates and registers the metrics.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("http_server_requests_total", "HTTP requests, by route and status class."),
            &["handler", "method", "code"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("http_server_request_seconds", "Time to the head of the response.")
                .buckets(BOUNDS.to_vec()),
            &["handler"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        for code in ["2xx", "3xx", "4xx", "5xx"] {
            requests.with_label_values(&[OTHER, "other", code]).reset();
        }
        drop(seconds.with_label_values(&[OTHER]));
        Ok(Arc::new(Self { requests, seconds }))
    }

    fn observe(&self, handler: &str, method: &'static str, status: StatusCode, began: Instant) {
        let code = class(status);
        self.requests.with_label_values(&[handler, method, code]).inc();
        self.seconds.with_label_values(&[handler]).observe(began.elapsed().as_secs_f64());
    }
}

/// Counts every request to a router. Must wrap a router that has all its routes.
pub fn with_metrics(router: Router, metrics: Arc<HttpMetrics>) -> Router {
    router.layer(from_fn_with_state(metrics, measure))
}

async fn measure(
    State(metrics): State<Arc<HttpMetrics>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let (began, method) = (Instant::now(), method(request.method()));
    let response = next.run(request).await;
    let handler = matched.as_ref().map_or(OTHER, MatchedPath::as_str);
    metrics.observe(handler, method, response.status(), began);
    response
}

/// Returns a method's name; `other` for methods that no route uses.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        0..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    /// Ten thousand ids, paths and methods yield fewer than twenty series.
    #[tokio::test]
    async fn series_do_not_grow_with_requests() {
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry).unwrap();
        let router = Router::new().route("/orders/{id}", get(async || "ok"));
        let router = with_metrics(router, metrics);
        for number in 0..10_000 {
            let (method, path) = match number % 4 {
                0 => ("GET".to_owned(), format!("/orders/{number}")),
                1 => ("GET".to_owned(), format!("/{number}/{number}")),
                2 => (format!("M{number}"), format!("/orders/{number}")),
                _ => (format!("M{number}"), format!("/{number}")),
            };
            let request = Request::builder().method(method.as_str()).uri(path);
            let request = request.body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap();
        }
        let families = registry.gather();
        let series: usize = families.iter().map(|family| family.get_metric().len()).sum();
        assert!(series < 20, "{series}");
        let text = prometheus::TextEncoder::new().encode_to_string(&families).unwrap();
        let found = |line: &str| assert!(text.contains(line), "{line} is not in {text}");
        found("{code=\"2xx\",handler=\"/orders/{id}\",method=\"GET\"} 2500");
        found("{code=\"4xx\",handler=\"/orders/{id}\",method=\"other\"} 2500");
        found("{code=\"4xx\",handler=\"other\",method=\"GET\"} 2500");
    }
}
