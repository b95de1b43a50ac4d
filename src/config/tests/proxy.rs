//! `api.proxy` and the file with its password.

use super::*;

fn load_proxy(api: &str, password: Option<&str>) -> Result<(Config, Vec<Warning>), Vec<String>> {
    let folder = folder(&format!("{VPS}api: {{{api}}}\n"));
    if let Some(password) = password {
        write(folder.path(), "password", password);
    }
    let place = format!("{}/", folder.path().display());
    load_with(&folder, &[]).map_err(|errors| {
        let said = |problem: &Problem| problem.to_string().replace(&place, "");
        errors.0.iter().map(said).collect()
    })
}

#[test]
fn a_proxy_has_a_url_and_a_password_from_a_file() {
    for (api, password) in [
        ("proxy: 'socks5h://user:Canary@127.0.0.1:1080'", None),
        (
            "proxy: 'socks5h://user@127.0.0.1:1080', proxy_password_file: password",
            Some("\u{feff}Canary of words\r\n"),
        ),
    ] {
        let (config, warnings) = load_proxy(api, password).expect(api);
        assert_eq!(warnings, [], "{api}");
        let proxy = config.api.proxy.as_ref().expect("there is one");
        assert!(proxy.has_password(), "{api}");
        let said = format!("{config:?} {}", config.summary());
        assert!(
            said.contains("The proxy is socks5h://127.0.0.1:1080.\n") && !said.contains("Canary"),
            "{said}"
        );
    }
    let (config, _) =
        load_proxy("proxy: null, proxy_password_file: null", None).expect("it is right");
    assert_eq!(config.api.proxy, None);
    let here = "endpoint: 'http://127.0.0.1:1/v1', proxy: 'http://h:1'";
    let summary = load_proxy(here, None).expect("it is right").0.summary();
    assert!(
        summary.contains("which is not used for an API on this machine"),
        "{summary}"
    );
}

#[test]
fn what_is_wrong_with_a_proxy_is_said_without_it() {
    let file = "config.yaml:2: api.proxy_password_file:";
    let with_file = "proxy: 'http://user@h', proxy_password_file: password";
    for (api, password, said) in [
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
            format!("{file} there is no proxy: set api.proxy, or leave this out"),
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
            format!("{file} api.proxy has a password too: leave one of them out"),
        ),
        (
            "proxy: 'http://h', proxy_password_file: password",
            Some("Canary"),
            format!("{file} api.proxy has no user name: write it before an @ and the host"),
        ),
    ] {
        assert_eq!(load_proxy(api, password).expect_err(api), [said]);
    }
}

#[test]
fn a_password_that_everyone_can_read_is_warned_of() {
    let folder = folder(&format!("{VPS}api: {{proxy: 'http://user:x@h'}}\n"));
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path().join("config.yaml"), open.clone()).expect("it is ours");
    let keys = |warnings: Vec<Warning>| {
        warnings
            .into_iter()
            .map(|warning| warning.key)
            .collect::<Vec<_>>()
    };
    let (_, warnings) = load_with(&folder, &[]).expect("it is right");
    assert_eq!(keys(warnings), ["api.proxy"]);
    write(folder.path(), "password", "x");
    fs::set_permissions(folder.path().join("password"), open).expect("it is ours");
    let variables = [
        ("KIWIVM_EXPORTER_API__PROXY", "http://user@h"),
        ("KIWIVM_EXPORTER_API__PROXY_PASSWORD_FILE", "password"),
    ];
    let (_, warnings) = load_with(&folder, &variables).expect("it is right");
    assert_eq!(keys(warnings), ["KIWIVM_EXPORTER_API__PROXY_PASSWORD_FILE"]);
    let inline = [("KIWIVM_EXPORTER_API__PROXY", "http://user:x@h")];
    let (_, warnings) = load_with(&folder, &inline).expect("it is right");
    assert_eq!(warnings, []);
}
