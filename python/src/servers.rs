//! What servers are told of the caller: credentials, proxies, the service of S3. It
//! is not part of options that are stored.

use std::collections::HashMap;

use pcopy::options::{Header, Login, Proxies, Remote, S3Access, S3Keys, S3Style, Secret};

use crate::cli::remote::{ServerArgs, of_server};
use crate::cli::s3::{self, S3Args};

/// What the Python half was told.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Servers {
    /// `Name: value`.
    headers: Vec<String>,
    /// A server or `None` for all, who asks, and the password.
    logins: Vec<(Option<String>, String, String)>,
    /// By what is asked for: `http`, `https`.
    proxies: HashMap<String, String>,
    /// Servers that are asked directly.
    except: Option<String>,
    /// Whether what was not said is what the command would find around it.
    trust_env: bool,
    endpoint_url: Option<String>,
    region: Option<String>,
    addressing_style: Option<S3Style>,
    profile: Option<String>,
    no_sign_request: bool,
    aws_access_key_id: Option<String>,
    aws_secret_access_key: Option<String>,
    aws_session_token: Option<String>,
}

impl Servers {
    /// Adds it to `remote`.
    ///
    /// # Errors
    ///
    /// What is wrong, without a value that may be a credential.
    pub fn tell(self, remote: &mut Remote) -> Result<(), String> {
        for header in &self.headers {
            let header: Header =
                header.parse().map_err(|error| format!("headers: a line {error}"))?;
            remote.headers.push(header);
        }
        self.tell_s3(remote)?;
        for (host, user, password) in self.logins {
            let password = Secret::new(password);
            remote.logins.push(Login { host, user, password });
        }
        let through = |name: &str| self.proxies.get(name).cloned().map(Secret::new);
        remote.proxies =
            Proxies { http: through("http"), https: through("https"), except: self.except };
        if self.trust_env {
            add(remote, around());
        }
        Ok(())
    }

    fn tell_s3(&self, remote: &mut Remote) -> Result<(), String> {
        let args = S3Args {
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            profile: self.profile.clone(),
            no_sign_request: self.no_sign_request,
        };
        let s3 = &mut remote.s3;
        if self.trust_env || self.profile.is_some() {
            *s3 = s3::options(&args);
        } else {
            (s3.endpoint, s3.region) = (args.endpoint_url, args.region);
            if args.no_sign_request {
                s3.access = S3Access::Anonymous;
            }
        }
        s3.style = self.addressing_style.unwrap_or(s3.style);
        if let Some(keys) = self.keys()? {
            s3.access = S3Access::Keys(keys);
        }
        Ok(())
    }

    fn keys(&self) -> Result<Option<S3Keys>, String> {
        let (id, secret) = (&self.aws_access_key_id, &self.aws_secret_access_key);
        match (id, secret) {
            (Some(_), Some(_)) if self.no_sign_request => {
                Err("no_sign_request asks as nobody, and keys say who asks".to_owned())
            }
            (Some(id), Some(secret)) => Ok(Some(S3Keys {
                id: id.clone(),
                secret: Secret::new(secret.clone()),
                token: self.aws_session_token.clone().map(Secret::new),
            })),
            (None, None) if self.aws_session_token.is_none() => Ok(None),
            _ => Err("aws_access_key_id and aws_secret_access_key belong together".to_owned()),
        }
    }
}

/// What the command would take from its environment.
fn around() -> Remote {
    let asked = Remote::default();
    of_server(&ServerArgs {
        header: Vec::new(),
        max_retries: asked.max_retries,
        timeout: asked.timeout,
        s3: S3Args::default(),
    })
}

/// Adds what was `found` where nothing was said.
fn add(said: &mut Remote, found: Remote) {
    said.ca_file = said.ca_file.take().or(found.ca_file);
    // The first that fits is taken, and one of all servers fits last.
    said.logins.extend(found.logins);
    let (of_said, of_found) = (&mut said.proxies, found.proxies);
    of_said.http = of_said.http.take().or(of_found.http);
    of_said.https = of_said.https.take().or(of_found.https);
    of_said.except = of_said.except.take().or(of_found.except);
}
