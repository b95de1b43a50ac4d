//! A root shell with canned responses. Nothing is executed.

use super::super::json::Object;
use super::super::vps::SimulatedVps;
use super::{CommandResult, Order, done, running};

impl Order<'_> {
    pub(super) fn change_directory(&self, vps: &mut SimulatedVps) -> CommandResult {
        let current = self.required("currentDir")?;
        let new = self.required("newDir")?;
        running(vps)?;
        Ok(done().text("pwd", &directory(current, new)))
    }

    pub(super) fn execute(&self, vps: &mut SimulatedVps) -> CommandResult {
        let command = self.required("command")?;
        running(vps)?;
        let (status, output) = canned(command, &vps.settings.hostname);
        Ok(Object::new().raw("error", status).text("message", &output))
    }

    pub(super) fn execute_script(&self, vps: &mut SimulatedVps) -> CommandResult {
        self.required("script")?;
        running(vps)?;
        vps.settings.secrets += 1;
        let log = format!("shellscript-{}-{}.log", self.now(), vps.settings.secrets);
        Ok(done().text("log", &log))
    }
}

/// Exit status and output of a command.
fn canned(command: &str, hostname: &str) -> (u8, String) {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let rest = words.collect::<Vec<_>>().join(" ");
    match program {
        "true" | ":" => (0, String::new()),
        "false" => (1, String::new()),
        "exit" => (rest.parse().unwrap_or(2), String::new()),
        "echo" => (0, format!("{rest}\n")),
        "hostname" => (0, format!("{hostname}\n")),
        "pwd" => (0, "/root\n".to_owned()),
        "whoami" => (0, "root\n".to_owned()),
        _ => (127, format!("bash: {program}: command not found\n")),
    }
}

/// The directory after `cd`.
fn directory(current: &str, new: &str) -> String {
    let path = match new.strip_prefix('~') {
        Some(below) => format!("/root/{below}"),
        None if new.starts_with('/') => new.to_owned(),
        None => format!("{current}/{new}"),
    };
    let mut folders = Vec::new();
    for folder in path.split('/') {
        match folder {
            "" | "." => {}
            ".." => {
                folders.pop();
            }
            folder => folders.push(folder),
        }
    }
    format!("/{}", folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_directories_as_a_shell_does() {
        for (current, new, then) in [
            ("/root", "x", "/root/x"),
            ("/root/x", "..", "/root"),
            ("/root", "/etc/./ssh/", "/etc/ssh"),
            ("/etc", "~", "/root"),
            ("/", "../..", "/"),
        ] {
            assert_eq!(directory(current, new), then);
        }
    }

    #[test]
    fn commands_have_a_status_and_output() {
        assert_eq!(canned("echo a  b", "h"), (0, "a b\n".to_owned()));
        assert_eq!(canned("exit 3", "h"), (3, String::new()));
        assert_eq!(canned("rm -rf /", "h").0, 127);
    }
}
