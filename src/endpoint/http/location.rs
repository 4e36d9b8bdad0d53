//! Where an object is: an address as requests need it, with the credentials that
//! belong to it and to no other server, and where a redirection leads.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::Uri;

use super::client::Reply;
use super::fault::Fault;
use crate::address::{decode, without_credentials};
use crate::options::{Header, Login, Remote, Secret};

/// What stands behind an address where that is not all: it may have to be signed
/// anew for each request, and answers may say in a language of their own what is
/// wrong.
pub(in crate::endpoint) trait Service: fmt::Debug + Send + Sync {
    /// The address for a request that is made now.
    fn address(&self) -> Uri;

    /// The same answer, if it is one to somebody who asks for an object by HTTP.
    ///
    /// # Errors
    ///
    /// What the answer means, if not.
    fn judge(&self, reply: Reply) -> Result<Reply, Fault>;
}

/// Where to ask, and what to say besides.
#[derive(Clone, Debug)]
pub(in crate::endpoint) struct Location {
    /// Without name and password.
    uri: Uri,
    /// What is said to this server only.
    headers: Vec<Header>,
    /// Who knows more of it than an address says.
    service: Option<Arc<dyn Service>>,
    /// Whether a server has sent us here.
    pub is_redirected: bool,
}

impl Location {
    /// Of an address as the user has named it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn new(address: &str, remote: &Remote) -> Result<Location, String> {
        let address = address.split('#').next().unwrap_or_default();
        let (scheme, rest) = address.split_once("://").ok_or("it has no scheme")?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let uri = parse(&format!("{}://{host}{rest}", scheme.to_ascii_lowercase()))?;
        let is_for = |header: &&Header| !is_of_s3(&header.name) || is_signed_in(&header.name, &uri);
        let mut headers: Vec<Header> = remote.headers.iter().filter(is_for).cloned().collect();
        let is_said = |header: &Header| header.name.eq_ignore_ascii_case("authorization");
        if !headers.iter().any(is_said) {
            let of_host = || login_of(&uri, &remote.logins, true);
            headers.extend(login.map(of_address).or_else(of_host));
        }
        Ok(Location { uri, headers, service: None, is_redirected: false })
    }

    /// Of an object of `service`, which is told `headers` besides.
    #[cfg(feature = "s3")]
    pub fn of_service(service: Arc<dyn Service>, headers: Vec<Header>) -> Location {
        let uri = service.address();
        Location { uri, headers, service: Some(service), is_redirected: false }
    }

    /// Where `target` leads, which a server has named. What was said to that
    /// server is said to no other.
    pub fn follow(&self, target: &str, remote: &Remote) -> Result<Location, Fault> {
        let address = join(&self.uri, target);
        let cannot = |why: &str| {
            let shown = without_credentials(&address);
            Fault::Redirect(format!("it is redirected to {shown}, {why}"))
        };
        let (scheme, rest) =
            address.split_once("://").ok_or_else(|| cannot("which is not an address"))?;
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(cannot("which is not HTTP"));
        }
        if self.is_secure() && !scheme.eq_ignore_ascii_case("https") {
            return Err(cannot("where the connection would not be secure any more"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        // A server has no business to name credentials.
        let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
        let uri = parse(&format!("{}://{host}{}", scheme.to_ascii_lowercase(), &rest[end..]))
            .map_err(|why| cannot(&format!("and {why}")))?;
        let headers = match is_same_server(&self.uri, &uri) {
            true => self.headers.clone(),
            false => login_of(&uri, &remote.logins, false).into_iter().collect(),
        };
        Ok(Location { uri, headers, service: None, is_redirected: true })
    }

    /// The address, without name and password.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The same, for a request that is made now.
    pub fn current(&self) -> Uri {
        self.service.as_ref().map_or_else(|| self.uri.clone(), |service| service.address())
    }

    /// The same answer, or what else it means.
    pub fn judge(&self, reply: Reply) -> Result<Reply, Fault> {
        match &self.service {
            Some(service) => service.judge(reply),
            None => Ok(reply),
        }
    }

    /// What is said besides.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// Whether nobody on the way can read it.
    pub fn is_secure(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// As it may be shown.
    pub fn shown(&self) -> String {
        without_credentials(&self.uri.to_string())
    }
}

/// Whether a header is for services of S3, and not for a server of HTTP that a copy may
/// come from: it can be the key that the object is encrypted by.
fn is_of_s3(name: &str) -> bool {
    name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
}

/// Whether an address was signed for requests that say `name`: who has signed it wants
/// the server to be told.
fn is_signed_in(name: &str, uri: &Uri) -> bool {
    let names = uri.query().unwrap_or_default().split('&').find_map(|parameter| {
        let (parameter, names) = parameter.split_once('=')?;
        parameter.eq_ignore_ascii_case("x-amz-signedheaders").then(|| decode(names))?
    });
    let is_it = |names: String| names.split(';').any(|known| known.eq_ignore_ascii_case(name));
    names.is_some_and(is_it)
}

/// An address of which all is there and everything odd is encoded.
fn parse(address: &str) -> Result<Uri, String> {
    let uri: Uri =
        encoded(address).parse().map_err(|error| format!("is not an address: {error}"))?;
    let has_host = uri.host().is_some_and(|host| !host.is_empty() && host != "[]");
    let port = uri.authority().map(|all| all.as_str()).unwrap_or_default();
    let port = port.rsplit_once(']').map_or(port, |(_, port)| port).rsplit_once(':');
    match port {
        _ if !has_host => Err("names no server".to_owned()),
        Some((_, port)) if !port.is_empty() && uri.port_u16().is_none() => {
            Err(format!("has the port {port}, which there cannot be"))
        }
        _ => Ok(uri),
    }
}

/// `address` with everything encoded that cannot stand in one.
fn encoded(address: &str) -> String {
    let mut text = String::with_capacity(address.len());
    for byte in address.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Scheme, name and port are the same.
fn is_same_server(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
    };
    let host = |uri: &Uri| uri.host().unwrap_or_default().to_ascii_lowercase();
    one.scheme() == other.scheme() && host(one) == host(other) && port(one) == port(other)
}

/// Name and password as they stand in an address.
fn of_address(login: &str) -> Header {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let plain = |text: &str| decode(text).unwrap_or_else(|| text.to_owned());
    basic(&plain(user), &plain(password))
}

/// Those that the user has for the server, by its name; or else, where `any`,
/// those for every server.
fn login_of(uri: &Uri, logins: &[Login], any: bool) -> Option<Header> {
    let host = uri.host()?;
    let named = |login: &&Login| {
        login.host.as_deref().is_some_and(|named| named.eq_ignore_ascii_case(host))
    };
    let others = || logins.iter().find(|login| any && login.host.is_none());
    let login = logins.iter().find(named).or_else(others)?;
    Some(basic(&login.user, login.password.reveal()))
}

fn basic(user: &str, password: &str) -> Header {
    let value = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    Header { name: "Authorization".to_owned(), value: Secret::new(value) }
}

/// `target` as seen from `base`.
fn join(base: &Uri, target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map(|all| all.as_str()).unwrap_or_default();
    let has_scheme = target.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    if has_scheme {
        return target.to_owned();
    }
    if let Some(rest) = target.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let path = match path {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{path}"))
        }
    };
    format!("{scheme}://{authority}{path}{query}")
}

/// `/a/../b/./c` as `/b/c`.
fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = path.split('/').skip(1).peekable();
    while let Some(part) = rest.next() {
        match part {
            "." | ".." => {
                if part == ".." {
                    parts.pop();
                }
                if rest.peek().is_none() {
                    parts.push("");
                }
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(address: &str) -> Location {
        Location::new(address, &Remote::default()).unwrap()
    }

    fn said(location: &Location) -> Vec<&str> {
        location.headers().iter().map(|header| header.value.reveal()).collect()
    }

    #[test]
    fn an_address_is_encoded_and_its_credentials_become_a_header() {
        let at = location("HTTP://me:p%40ss@[::1]:8080/a b/ö?x=|#part");
        assert_eq!(at.uri().to_string(), "http://[::1]:8080/a%20b/%C3%B6?x=%7C");
        assert_eq!(said(&at), ["Basic bWU6cEBzcw=="]);
        assert_eq!(location("https://host").uri().to_string(), "https://host/");
        for wrong in
            ["http://", "http:///x", "http://host:99999/x", "http://host:x/", "http://[::1/x"]
        {
            assert!(Location::new(wrong, &Remote::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_header_of_the_user_comes_before_a_password() {
        let mut remote = Remote::default();
        let login = |host: Option<&str>, user: &str| Login {
            host: host.map(str::to_owned),
            user: user.to_owned(),
            password: Secret::new("p"),
        };
        remote.logins = vec![login(None, "any"), login(Some("Host"), "named")];
        let said_to = |address: &str, remote: &Remote| {
            let location = Location::new(address, remote).unwrap();
            said(&location).iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()
        };
        let basic = |user: &str| basic(user, "p").value.reveal().to_owned();
        assert_eq!(said_to("http://host/x", &remote), [basic("named")]);
        assert_eq!(said_to("http://other/x", &remote), [basic("any")]);
        assert_eq!(said_to("http://me:p@host/x", &remote), [basic("me")]);
        remote.headers = vec!["authorization: Bearer x".parse().unwrap()];
        assert_eq!(said_to("http://me:p@host/x", &remote), ["Bearer x"]);
    }

    #[test]
    fn credentials_stay_with_the_server_they_are_for() {
        let mut remote = Remote { headers: vec!["X-Key: k".parse().unwrap()], ..Remote::default() };
        let here = Location::new("https://host/a/b?c", &remote).unwrap();
        let check = |target: &str, uri: &str, count: usize| {
            let there = here.follow(target, &remote).unwrap();
            assert_eq!(there.uri().to_string(), uri, "{target}");
            assert_eq!(there.headers().len(), count, "{target}");
            assert!(there.is_redirected);
        };
        check("/x", "https://host/x", 1);
        check("x?y#z", "https://host/a/x?y", 1);
        check("?y", "https://host/a/b?y", 1);
        check("../../x/./y/..", "https://host/x/", 1);
        check("https://HOST:443/x", "https://HOST:443/x", 1);
        check("https://host:444/x", "https://host:444/x", 0);
        check("//other/x", "https://other/x", 0);
        check("https://me:secret@other/x", "https://other/x", 0);
        remote.logins = vec![Login {
            host: Some("other".to_owned()),
            user: "me".to_owned(),
            password: Secret::new("p"),
        }];
        assert_eq!(here.follow("https://other/x", &remote).unwrap().headers().len(), 1);
        for wrong in ["http://host/x", "ftp://host/x", "file:///etc/passwd", "https://", "s3://a/b"]
        {
            let error = here.follow(wrong, &remote).unwrap_err();
            assert!(matches!(error, Fault::Redirect(_)), "{wrong}: {error}");
        }
    }
}
