//! Tests of the command line.

use super::*;

fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    let program = std::iter::once(&"kiwivm_exporter");
    let arguments: Vec<OsString> = program.chain(arguments).map(OsString::from).collect();
    Cli::from_arguments(&arguments)
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
    command().debug_assert();
    let flags: Vec<String> = command()
        .get_arguments()
        .map(|flag| flag.get_id().to_string())
        .collect();
    for command in command().get_subcommands() {
        for used in flags_of(command.get_name()) {
            assert!(flags.iter().any(|flag| flag == used), "{used}");
        }
    }
}

#[test]
fn a_flag_exists_only_on_the_commands_that_use_it() {
    for (command_name, flag) in [
        ("check", "--web.listen-address=:1"),
        ("check", "--simulator.time-scale=2"),
        ("once", "--web.config.file=x"),
        ("once", "--web.enable-lifecycle"),
        ("plan", "--web.max-requests=1"),
        ("backfill", "--web.systemd-socket"),
        ("healthcheck", "--config.file=x"),
        ("healthcheck", "--demo"),
        ("healthcheck", "--shard=0"),
        ("simulate", "--config.check"),
        ("simulate", "--config.file=x"),
        ("simulate", "--demo"),
        ("simulate", "--web.telemetry-path=/x"),
    ] {
        for arguments in [[command_name, flag], [flag, command_name]] {
            let error = parse(&arguments).expect_err("it has no such flag");
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
            let name = flag.split('=').next().unwrap_or_default();
            assert!(error.to_string().contains(name), "{arguments:?}: {error}");
        }
        let mut command = command();
        let command = command
            .find_subcommand_mut(command_name)
            .expect("it is there");
        let name = flag.trim_start_matches("--").split('=').next();
        let has = |flag: &clap::Arg| flag.get_long() == name;
        assert!(!command.get_arguments().any(has), "{command_name} {flag}");
    }
    for arguments in [
        &["check", "--demo"][..],
        &["--demo", "once"],
        &["plan", "--demo", "--log.level=error"],
        &["backfill", "--demo"],
        &["record", "--output=x", "--demo"],
        &["check", "--config.check", "--web.config.file=x"],
        &["once", "--config.check", "--shard=0", "--total-shards=2"],
        &[
            "healthcheck",
            "--web.route-prefix=/x",
            "--web.config.file=x",
        ],
        &["--log.format=json", "simulate"],
    ] {
        let parsed = parse(arguments);
        assert!(parsed.is_ok(), "{arguments:?}: {parsed:?}");
    }
    for arguments in [
        &["plan", "--demo", "--config.file=x"][..],
        &["once", "--demo", "--config.check"],
    ] {
        assert_eq!(parse(arguments).expect_err("they conflict").exit_code(), 2);
    }
}

#[test]
fn flags_precede_or_follow_the_command() {
    for arguments in [["--config.file=a", "check"], ["check", "--config.file=a"]] {
        let cli = parse(&arguments).expect("it is right");
        assert_eq!(cli.config_source().file, PathBuf::from("a"));
    }
}

#[test]
fn the_demo_listens_on_loopback_by_default() {
    let addresses = |arguments: &[&str]| parse(arguments).expect("it is right").listen_addresses();
    assert_eq!(addresses(&["--demo"]), ["127.0.0.1:10064"]);
    assert_eq!(addresses(&[]), [":10064"]);
    let two = [
        "--demo",
        "--web.listen-address=:1",
        "--web.listen-address=[::1]:2",
    ];
    assert_eq!(addresses(&two), [":1", "[::1]:2"]);
}

#[test]
fn a_shard_is_a_number_or_the_name_of_a_pod() {
    for shard in ["--shard=2", "--shard=kiwivm-exporter-2"] {
        let cli = parse(&[shard, "--total-shards=3"]).expect("it is right");
        assert_eq!(Some(cli.config_source().shard), Shard::new(2, 3), "{shard}");
    }
    let cli = parse(&[]).expect("it is right");
    assert_eq!(cli.config_source().shard, Shard::default());
}

#[test]
fn the_prefix_defaults_to_the_path_of_the_external_url() {
    for (arguments, prefix) in [
        (&[][..], ""),
        (&["--web.external-url=https://example.com"], ""),
        (&["--web.external-url=https://example.com/a/b/"], "/a/b"),
        (&["--web.external-url=/a"], "/a"),
        (&["--web.route-prefix=a/b"], "/a/b"),
        (&["--web.route-prefix=/a/"], "/a"),
        (
            &[
                "--web.external-url=https://example.com/a",
                "--web.route-prefix=/",
            ],
            "",
        ),
    ] {
        let cli = parse(arguments).expect("it is right");
        assert_eq!(cli.route_prefix().to_string(), prefix, "{arguments:?}");
    }
}

#[test]
fn invalid_usage_has_exit_code_2() {
    for arguments in [
        &["--nope"][..],
        &["nope"],
        &["--web.telemetry-path=metrics"],
        &["--web.telemetry-path=/-/x"],
        &["--web.telemetry-path=/status.json"],
        &["--demo", "--config.file=x"],
        &["--web.external-url=example.com/x"],
        &["--web.external-url=ftp://example.com/x"],
        &["--web.external-url=https://user@example.com/x"],
        &["--web.external-url=https://example.com/x?y"],
        &["--web.route-prefix=/a b"],
        &["--web.route-prefix=/a/../b"],
        &["--web.route-prefix=/a?b"],
        &["--shard=0"],
        &["--total-shards=2"],
        &["--shard=2", "--total-shards=2"],
        &["--shard=0", "--total-shards=0"],
        &["--shard=pod", "--total-shards=2"],
        &["--shard=+1", "--total-shards=2"],
        &["--demo", "--shard=0", "--total-shards=2"],
        &["simulate", "--time-scale=nan"],
        &["simulate", "--vps=0"],
        &["record"],
        &["backfill", "--since=yesterday"],
        &["backfill", "--label=job"],
        &["backfill", "--label=vps=x"],
        &["backfill", "--label=0=x"],
        &["backfill", "--label=job=x", "--label=job=y"],
        &["backfill", "--since=2h"],
        &["backfill", "--since=2026-11-02", "--until=2026-11-01"],
        &["simulate", "--history=-1"],
    ] {
        assert_eq!(
            parse(arguments).expect_err("it is wrong").exit_code(),
            2,
            "{arguments:?}"
        );
    }
}
