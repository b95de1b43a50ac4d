//! Tests of `api.proxy` and its password file.

use super::*;

fn load_proxy(api: &str, password: Option<&str>) -> Result<(Config, Vec<Warning>), Vec<String>> {
    let folder = folder(&format!("{VPS}api: {{{api}}}\n"));
    if let Some(password) = password {
        write(folder.path(), "password", password);
    }
    let place = format!("{}/", folder.path().display());
    load_with(&folder, &[]).map_err(|errors| {
        let message = |problem: &Problem| problem.to_string().replace(&place, "");
        errors.0.iter().map(message).collect()
    })
}

#[test]
fn reads_a_proxy_with_a_password() {
    for (api, password) in [
        ("proxy: 'socks5h://user:Canary@127.0.0.1:1080'", None),
        (
            "proxy: 'socks5h://user@127.0.0.1:1080', proxy_password_file: password",
            Some("\u{feff}Canary of words\r\n"),
        ),
    ] {
        let (config, warnings) = load_proxy(api, password).expect(api);
        assert_eq!(warnings, [], "{api}");
        let proxy = config.api.proxy.as_ref().expect("a proxy");
        assert!(proxy.has_password(), "{api}");
        let output = format!("{config:?} {}", config.summary());
        assert!(
            output.contains("The proxy is socks5h://127.0.0.1:1080.\n")
                && !output.contains("Canary"),
            "{output}"
        );
    }
    let (config, _) = load_proxy("proxy: null, proxy_password_file: null", None).expect("valid");
    assert_eq!(config.api.proxy, None);
    let loopback = "endpoint: 'http://127.0.0.1:1/v1', proxy: 'http://h:1'";
    let summary = load_proxy(loopback, None).expect("valid").0.summary();
    assert!(
        summary.contains("which is not used for a loopback endpoint"),
        "{summary}"
    );
}

#[test]
fn reports_problems_without_quoting_values() {
    let file = "config.yaml:2: api.proxy_password_file:";
    let with_file = "proxy: 'http://user@h', proxy_password_file: password";
    for (api, password, expected) in [
        (
            "proxy: 'ftp://user:Canary@h'",
            None,
            "config.yaml:2: api.proxy: unsupported scheme `ftp`; use http, https, socks5 or socks5h".to_owned(),
        ),
        (
            "proxy: 'user:Canary@h:1080'",
            None,
            "config.yaml:2: api.proxy: must be a URL such as socks5h://127.0.0.1:1080".to_owned(),
        ),
        ("proxy: [Canary]", None, "config.yaml:2: api.proxy: must be the URL of a proxy".to_owned()),
        (
            "proxy_password_file: password",
            Some("Canary"),
            format!("{file} no proxy is configured: set api.proxy or remove this key"),
        ),
        (
            with_file,
            None,
            format!("{file} password cannot be read: No such file or directory (os error 2)"),
        ),
        (with_file, Some("\n"), format!("{file} password is empty: put the password in it")),
        (
            with_file,
            Some("Canary\nCanary\n"),
            format!("{file} password has more than one line: put only the password in it"),
        ),
        (
            "proxy: 'http://user:Canary@h', proxy_password_file: password",
            Some("Canary"),
            format!("{file} api.proxy has a password too: remove one of them"),
        ),
        (
            "proxy: 'http://h', proxy_password_file: password",
            Some("Canary"),
            format!("{file} api.proxy has no user name: add it before the host, as in user@host"),
        ),
    ] {
        assert_eq!(load_proxy(api, password).expect_err(api), [expected]);
    }
}

#[test]
fn warns_of_a_world_readable_password() {
    let folder = folder(&format!("{VPS}api: {{proxy: 'http://user:x@h'}}\n"));
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path().join("config.yaml"), open.clone()).expect("permitted");
    let keys = |warnings: Vec<Warning>| {
        warnings
            .into_iter()
            .map(|warning| warning.key)
            .collect::<Vec<_>>()
    };
    let (_, warnings) = load_with(&folder, &[]).expect("valid");
    assert_eq!(keys(warnings), ["api.proxy"]);
    write(folder.path(), "password", "x");
    fs::set_permissions(folder.path().join("password"), open).expect("permitted");
    let variables = [
        ("KIWIVM_EXPORTER_API__PROXY", "http://user@h"),
        ("KIWIVM_EXPORTER_API__PROXY_PASSWORD_FILE", "password"),
    ];
    let (_, warnings) = load_with(&folder, &variables).expect("valid");
    assert_eq!(keys(warnings), ["KIWIVM_EXPORTER_API__PROXY_PASSWORD_FILE"]);
    let inline = [("KIWIVM_EXPORTER_API__PROXY", "http://user:x@h")];
    let (_, warnings) = load_with(&folder, &inline).expect("valid");
    assert_eq!(warnings, []);
}
