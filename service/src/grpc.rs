//! Which requests are gRPC calls, on the client port and the peer port alike.
//!
//! Only a call may reach a gRPC service: HTTP/2, `POST`, and a content type of gRPC. A browser
//! sends a web page's "simple" cross-origin `POST` without asking the server first, with a content
//! type such as `text/plain` and over HTTP/1.1 if the server has no TLS. Were that executed, every
//! page that a user of the network visits could write here.

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tonic::body::Body;
use tonic::{Code, Status};

const CONTENT_TYPE: &str = "application/grpc";

/// Whether a request is a gRPC call, whatever its path.
pub(crate) fn is_call<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_2
        && request.method() == Method::POST
        && has_content_type(request)
}

/// `application/grpc`, alone or followed by a subtype or a parameter, in lower case: grpc-go's
/// rule.
fn has_content_type<B>(request: &Request<B>) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE);
    let rest = value.and_then(|value| value.as_bytes().strip_prefix(CONTENT_TYPE.as_bytes()));
    matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// The first part of a path, which names the service of a call. Empty for paths that have only one.
pub(crate) fn service_of(path: &str) -> &str {
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    parts.map_or("", |(service, _)| service)
}

/// The answer to a request for the path of a gRPC service that is not a call. etcd's: HTTP/1 does
/// not know the path, and HTTP/2 gets a status of HTTP that browsers understand beside gRPC's.
pub(crate) fn refuse<B>(request: &Request<B>) -> Response<Body> {
    if request.version() != Version::HTTP_2 {
        return not_found();
    }
    let (http_status, status) = if has_content_type(request) {
        let text = format!(
            "Received a HEADERS frame with :method {:?} which should be POST",
            request.method().as_str()
        );
        let status = Status::new(Code::Internal, text);
        (StatusCode::METHOD_NOT_ALLOWED, status)
    } else {
        let given = request.headers().get(header::CONTENT_TYPE);
        let given = given.map_or(&b""[..], HeaderValue::as_bytes);
        let text = format!(
            "invalid gRPC request content-type {:?}",
            String::from_utf8_lossy(given)
        );
        let status = Status::new(Code::InvalidArgument, text);
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, status)
    };
    let mut response = status.into_http();
    *response.status_mut() = http_status;
    response
}

/// Go's answer to a path that nothing serves.
pub(crate) fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::new("404 page not found\n".to_owned()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, method: &str, content_type: Option<&str>) -> Request<()> {
        let mut request = Request::builder().version(version).method(method);
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        request.body(()).expect("a request")
    }

    #[test]
    fn a_call_is_http2_and_post_and_has_the_content_type() {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
        ] {
            let call = request(Version::HTTP_2, "POST", Some(content_type));
            assert!(is_call(&call), "{content_type}");
            for version in [Version::HTTP_10, Version::HTTP_11] {
                let refused = request(version, "POST", Some(content_type));
                assert!(!is_call(&refused));
                assert_eq!(refuse(&refused).status(), StatusCode::NOT_FOUND);
            }
            for method in ["GET", "PUT", "HEAD", "OPTIONS", "post"] {
                let refused = request(Version::HTTP_2, method, Some(content_type));
                assert!(!is_call(&refused), "{method}");
                assert_eq!(refuse(&refused).status(), StatusCode::METHOD_NOT_ALLOWED);
            }
        }
    }

    #[test]
    fn a_path_names_its_service() {
        assert_eq!(service_of("/etcdserverpb.KV/Range"), "etcdserverpb.KV");
        assert_eq!(service_of("/health"), "");
        assert_eq!(service_of("/livez/serializable_read"), "livez");
        assert_eq!(service_of("*"), "");
    }

    #[test]
    fn other_content_types_are_refused() {
        for content_type in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/json"),
            Some("application/grpc-web"),
            Some("application/grpcx"),
            Some("Application/Grpc"),
            Some(" application/grpc"),
        ] {
            let refused = request(Version::HTTP_2, "POST", content_type);
            assert!(!is_call(&refused), "{content_type:?}");
            let response = refuse(&refused);
            assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            let status = Status::from_header_map(response.headers()).expect("a status of gRPC");
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(
                status
                    .message()
                    .starts_with("invalid gRPC request content-type")
            );
        }
    }
}
