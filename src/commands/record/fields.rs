//! The fields of KiwiVM's responses, and the treatment of the text of each.

/// Treatment of a string. Strings in lists and the values of maps follow the field that holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Recognised shapes are replaced. Numbers, dates and words of state stay. The rest is masked.
    Unknown,
    /// Names that the vendor gives: plans, templates, locations. Words of the vocabulary stay.
    Name,
    /// Sentences of the API. Words of the vocabulary stay.
    Sentence,
    /// Decimals with blanks and slashes.
    Load,
    /// A host name, also one without a dot.
    Host,
    /// The nickname of a node.
    Node,
    /// An IPv4 address as an unsigned number.
    Address,
    /// A VEID.
    Veid,
    /// Always masked. A number keeps only its length.
    Secret,
}

/// Treatment of the names of an object's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// The names are field names: one that looks like a field name stays.
    Fields,
    /// The names are data.
    Data,
    /// The names are data, and so are the names within the members.
    DataTwice,
    /// Unknown: a name stays if each of its words is known.
    Unknown,
}

/// The rule of a field, by its name. Known fields that hold secrets are all listed here.
pub(super) fn rule_of(name: &str, known: bool) -> Rule {
    match name {
        "os"
        | "installed"
        | "templates"
        | "plan"
        | "plan_kiwivm_theme"
        | "vm_type"
        | "ve_status"
        | "status"
        | "node_location"
        | "node_location_id"
        | "node_datacenter"
        | "currentLocation"
        | "locations"
        | "descriptions"
        | "dataTransferMultipliers"
        | "flag"
        | "friendly_description" => Rule::Name,
        "message" | "additionalErrorInfo" | "friendly_progress_message" | "summary" => {
            Rule::Sentence
        }
        "load_average" => Rule::Load,
        "hostname" | "live_hostname" | "ptr" => Rule::Host,
        "node_alias" => Rule::Node,
        "requestor_ipv4" => Rule::Address,
        "veid" => Rule::Veid,
        "description"
        | "evidence"
        | "evidence_data"
        | "log"
        | "iso1"
        | "iso2"
        | "available_isos"
        | "screendump_png_base64"
        | "s_value" => Rule::Secret,
        _ if name.contains("ssh_keys") => Rule::Secret,
        _ if !known && names_a_secret(name) => Rule::Secret,
        _ => Rule::Unknown,
    }
}

/// The treatment of names in an object that a field holds.
pub(super) fn names_of(name: &str) -> Names {
    match name {
        "ptr"
        | "ip_nullroutes"
        | "evidence"
        | "descriptions"
        | "dataTransferMultipliers"
        | "backups" => Names::Data,
        "email_preferences" => Names::DataTwice,
        "data"
        | "log_entries"
        | "snapshots"
        | "suspensions"
        | "policy_violations"
        | "vz_status"
        | "vz_quota"
        | "additionalLockingInfo" => Names::Fields,
        _ => Names::Unknown,
    }
}

/// True for the name of a field that holds a secret.
fn names_a_secret(name: &str) -> bool {
    const SECRETS: [&str; 7] = [
        "pass",
        "secret",
        "token",
        "key",
        "keys",
        "private_key",
        "credential",
    ];
    let words = words_of(name);
    words
        .iter()
        .any(|word| SECRETS.contains(&word.as_str()) || word.starts_with("pass"))
}

/// True for the name of an unknown field whose number may identify a person.
pub(super) fn names_an_identity(name: &str) -> bool {
    const IDENTITIES: [&str; 20] = [
        "id", "ids", "veid", "ip", "ips", "users", "accounts", "ipv4", "ipv6", "phone", "pin",
        "account", "user", "client", "customer", "owner", "invoice", "order", "card", "mac",
    ];
    let words = words_of(name);
    words.iter().any(|word| IDENTITIES.contains(&word.as_str()))
}

/// The words of a name in snake or camel case, in lower case. Digits belong to the word before them.
pub(super) fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in name.chars() {
        let begins = letter.is_ascii_uppercase() && before.is_ascii_lowercase();
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// True for text that looks like the name of a field: words in snake or camel case, with few digits.
pub(super) fn looks_like_a_field(name: &str) -> bool {
    /// The longest known name has 32 letters.
    const LONGEST: usize = 40;
    /// Identifiers of people and services have more.
    const MOST_DIGITS: usize = 3;
    let shaped = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    shaped && name.len() <= LONGEST && digits <= MOST_DIGITS
}

/// All known field names of the API, so that one with more digits or in an unknown place stays as well.
pub(super) const KNOWN: &str = "
    error message additionalErrorCode additionalErrorInfo additionalLockingInfo last_status_update_s_ago
    completed_percent friendly_progress_message
    vm_type hostname node_alias node_ip node_location_id node_location node_datacenter location_ipv6_ready plan
    plan_monthly_data monthly_data_multiplier data_counter data_next_reset plan_disk plan_ram plan_swap plan_max_ipv6s
    os email ip_addresses private_ip_addresses ipv6_sit_tunnel_endpoint ip_nullroutes nullroute_timestamp
    nullroute_duration_s log iso1 iso2 available_isos rdns_api_available plan_private_network_available
    location_private_network_available ptr suspended policy_violation suspension_count total_abuse_points
    max_abuse_points free_ip_replacement_interval plan_kiwivm_theme veid
    ve_status ve_mac1 ve_used_disk_space_b ve_disk_quota_gb is_cpu_throttled is_disk_throttled ssh_port live_hostname
    load_average mem_available_kb swap_total_kb swap_available_kb screendump_png_base64
    vz_status vz_quota status nproc nproc_b kmemsize kmemsize_b privvmpages privvmpages_b oomguarpages oomguarpages_b
    numtcpsock numtcpsock_b numfile numfile_b swappages swappages_b physpages physpages_l occupied_kb softlimit_kb
    hardlimit_kb occupied_inodes softlimit_inodes hardlimit_inodes
    data timestamp cpu_usage network_in_bytes network_out_bytes disk_read_bytes disk_write_bytes
    remaining_points_15min remaining_points_24h
    log_entries requestor_ipv4 type summary
    snapshots fileName description size md5 sticky uncompressed purgesIn downloadLink downloadLinkSSL
    backups backupToken
    suspensions evidence record_id flag is_soft evidence_record_id abuse_points
    policy_violations suspend_at evidence_data
    installed templates available_ips assigned_ips
    ssh_keys_veid ssh_keys_user ssh_keys_preferred shortened_ssh_keys_veid shortened_ssh_keys_user
    shortened_ssh_keys_preferred
    email_preferences notificationEmail friendly_description is_enabled changed_timestamp s_value
    currentLocation locations descriptions dataTransferMultipliers
";
