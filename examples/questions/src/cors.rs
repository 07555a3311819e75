//! Cross-origin resource sharing (CORS): which web pages may read answers, <https://fetch.spec.whatwg.org/#http-cors-protocol>.

use crate::{ApiError, variable};

/// Name of the environment variable that lists the allowed origins.
const VARIABLE: &str = "BERTLESS_CORS_ORIGIN";

/// Seconds for which a browser may keep the answer to a preflight. No browser keeps it for longer than Chromium's two hours.
const MAX_AGE: &str = "7200";

/// Headers of a response, names in lower case.
type Headers = Vec<(&'static str, String)>;

/// Origins whose pages may read answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// No origin: no header of CORS is sent.
    Off,
    /// Every origin: `*`.
    Any,
    /// Origins such as `https://example.com`, in lower case.
    Only(Vec<String>),
}

impl Cors {
    /// Reads `BERTLESS_CORS_ORIGIN`: `*`, or origins with commas between them. Returns [`Cors::Off`] if it is not set.
    ///
    /// # Errors
    /// Names the part that is not an origin.
    pub fn from_environment() -> Result<Self, String> {
        Self::parse(&variable(VARIABLE, String::new())?)
    }

    /// Parses the value of the environment variable.
    fn parse(value: &str) -> Result<Self, String> {
        let origins = || value.split(',').map(str::trim);
        match value.trim() {
            "" => Ok(Self::Off),
            "*" => Ok(Self::Any),
            _ => origins()
                .map(origin)
                .collect::<Result<_, _>>()
                .map(Self::Only),
        }
    }

    /// Headers for the response to a request with this `Origin`, which is empty if the request has no such header.
    pub fn headers(&self, origin: &str) -> Headers {
        let allowed = |origin: &str| ("access-control-allow-origin", origin.to_owned());
        match self {
            Self::Off => Vec::new(),
            Self::Any => vec![allowed("*")],
            // `vary` makes a cache keep the responses for different origins apart. Responses to other origins need it too.
            Self::Only(origins) => {
                let listed = origins.iter().find(|&listed| listed == origin);
                let vary = ("vary", "origin".to_owned());
                listed
                    .map(|origin| allowed(origin))
                    .into_iter()
                    .chain([vary])
                    .collect()
            }
        }
    }

    /// Headers for the response to a preflight, whose status is 204. `requested` is the value of its
    /// `Access-Control-Request-Headers`.
    ///
    /// # Errors
    /// 403 for an origin that is not allowed.
    pub fn preflight(&self, origin: &str, requested: &str) -> Result<Headers, ApiError> {
        let mut headers = self.headers(origin);
        if !headers
            .iter()
            .any(|(name, _)| *name == "access-control-allow-origin")
        {
            let reason = format!("{VARIABLE} does not name the origin of this page");
            return Err(ApiError::new(403, reason));
        }
        headers.push(("access-control-allow-methods", "POST".to_owned()));
        headers.push(("access-control-max-age", MAX_AGE.to_owned()));
        // The wrappers trust no header, so a page may send any. `*` would not cover Authorization.
        let is_list = |byte: u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(&byte);
        if !requested.is_empty() && requested.bytes().all(is_list) {
            headers.push(("access-control-allow-headers", requested.to_owned()));
        }
        Ok(headers)
    }
}

/// Checks one origin and converts it to lower case, as browsers write origins. A trailing slash, the usual mistake, is an error:
/// such an origin would never match.
fn origin(text: &str) -> Result<String, String> {
    let is_origin = match text.split_once("://") {
        Some((scheme, host)) => {
            !scheme.is_empty()
                && !host.is_empty()
                && !host.contains(['/', '?', '#', '*', '@'])
                && text.chars().all(|c| c.is_ascii_graphic())
        }
        None => text == "null",
    };
    if is_origin {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!(
            "{VARIABLE}: {text:?} is not an origin: write * or a scheme and a host, such as https://example.com, without a path"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
        let header = headers.iter().find(|(other, _)| *other == name);
        header.map(|(_, value)| value.as_str())
    }

    #[test]
    fn settings_are_parsed() {
        let only = |origins: &[&str]| Cors::Only(origins.iter().map(|&o| o.to_owned()).collect());
        for (text, expected) in [
            ("", Cors::Off),
            (" ", Cors::Off),
            ("*", Cors::Any),
            ("https://Example.com", only(&["https://example.com"])),
            ("null", only(&["null"])),
            (
                "http://localhost:3000, https://a.b",
                only(&["http://localhost:3000", "https://a.b"]),
            ),
        ] {
            assert_eq!(Cors::parse(text), Ok(expected), "{text}");
        }
        for text in [
            "https://example.com/",
            "example.com",
            "https://",
            "https://*.example.com",
            "*,https://a.b",
            "https://a.b,",
            "https://a.b\r\nx: y",
        ] {
            assert!(Cors::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn headers_depend_on_the_origin() {
        let (off, any) = (Cors::Off, Cors::Any);
        let only = Cors::parse("https://a.b,https://c.d").unwrap();
        let allowed = "access-control-allow-origin";
        assert_eq!(off.headers("https://a.b"), []);
        assert_eq!(value(&any.headers(""), allowed), Some("*"));
        assert_eq!(value(&any.headers(""), "vary"), None);
        let c = only.headers("https://c.d");
        assert_eq!(value(&c, allowed), Some("https://c.d"));
        for origin in ["https://x.y", "https://a.b.x.y", ""] {
            let headers = only.headers(origin);
            assert_eq!(value(&headers, allowed), None, "{origin}");
            assert_eq!(value(&headers, "vary"), Some("origin"), "{origin}");
        }
    }

    #[test]
    fn preflights_depend_on_the_origin() {
        let only = Cors::parse("https://a.b").unwrap();
        let headers = only
            .preflight("https://a.b", "authorization,content-type")
            .unwrap();
        for (name, expected) in [
            ("access-control-allow-origin", "https://a.b"),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "authorization,content-type"),
            ("vary", "origin"),
        ] {
            assert_eq!(value(&headers, name), Some(expected));
        }
        let odd = only.preflight("https://a.b", "x\r\ny: z").unwrap();
        assert_eq!(value(&odd, "access-control-allow-headers"), None);
        assert_eq!(only.preflight("https://x.y", "").unwrap_err().status, 403);
        assert_eq!(
            Cors::Off.preflight("https://a.b", "").unwrap_err().status,
            403
        );
    }
}
