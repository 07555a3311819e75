//! Status codes with their phrases, for direct callers and load balancers.

/// Returns a status code with its phrase. An unknown status becomes 500.
pub(crate) fn phrase(status: u16) -> &'static str {
    match status {
        200 => "200 OK",
        204 => "204 No Content",
        400 => "400 Bad Request",
        403 => "403 Forbidden",
        405 => "405 Method Not Allowed",
        413 => "413 Content Too Large",
        415 => "415 Unsupported Media Type",
        422 => "422 Unprocessable Content",
        _ => "500 Internal Server Error",
    }
}
