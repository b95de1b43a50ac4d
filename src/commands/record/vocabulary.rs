//! Words that identify nobody. Text of the API keeps these words; all others are masked.

use std::collections::HashSet;

use super::fields::{self, words_of};

/// Words of state, which stay in any field.
const STATES: &str = "
    running stopped starting stopping restarting mounted unmounted suspended paused locked unknown online offline
    kvm ovz openvz true false yes no on off none null enabled disabled ok active inactive pending
";

/// Words of the API's sentences, and of the pages of proxies and web servers.
const SENTENCES: &str = "
    a about access account action active admin after again allowance allowed already an and any api application are as at
    authentication authorization available back backup backups bad bandwidth be been before being blocked busy by cache call calls
    cancelled cannot changed check client closed cloudflare code command complete completed connection content copying could
    create created currently data day days denied deleted deleting detected did disk do does done down due during
    ended error errors exceeded exceeds exhausted exist exists expired failed failure few file files finished for forbidden
    found from full gateway get getting guest has have hour hours http https image in incorrect information install installed
    installing insufficient internal invalid invalidrequest is issue it its job key kiwivm later left limit limited limits load
    location lock locked login long maintenance making many max maximum memory message method migrate migrating migration
    minute minutes missing more moved much must network nginx node not now number of on once one only openresty operation or
    origin other out overloaded page parameter parameters pending percent permission please point points post power preparing process
    processing progress quota ran rate reached read ready received refused reinstall reinstalling reload remote request requests required
    reset resource response restart restarted restore restoring retry running script second seconds security server service
    services shutdown slow snapshot snapshots some something soon space start started starting state status stop stopped stopping
    storage success successful successfully support suspended suspension system task template temporarily temporary
    than that the there this throttled time timed timeout times to too total traffic transfer try type unable unauthorized unavailable
    under unknown unsupported until up updated upstream usage use used user valid value varnish ve verification veid vm vps vz wait waiting
    was we were when while will window with within wrong you your zero
";

/// Tags of pages, and the parts of a content type.
const MARKUP: &str = "
    doctype html head title body h1 h2 h3 h4 p div span center hr br pre small strong em b i ul ol li table tr td th meta
    charset utf iso ascii text plain application json javascript octet stream xml gzip deflate identity chunked
    content name viewport width device initial scale lang en style script class id href link rel stylesheet css
";

/// Parts of the names of plans.
const PLANS: &str = "
    plan example special micro mini small basic standard premium pro plus lite limited edition promo annual big box bigger
    mega power self managed kvm kvmv ovz vswap vps vz v the dc cn gia cmi cmin ct ctg cu cuii cug hk jp la ca ny nl us eu ae sg
    ecommerce e commerce sla enterprise budget default generic transit mixed unlimited ram disk cpu core cores ssd nvme sata raid
    gb mb tb gib mib g m t c x kiwivm classic dark light blue bandwagonhost bwh
";

/// Parts of the names of templates.
const SYSTEMS: &str = "
    debian ubuntu centos almalinux alma rocky rockylinux fedora opensuse suse leap tumbleweed arch archlinux alpine gentoo
    freebsd openbsd netbsd scientific oracle oraclelinux slackware linux stream server minimal live netinst lts bbr x x86 i386 i686 amd
    arm aarch gnome xfce lamp lnmp docker wordpress openvpn cloudlinux vestacp cpanel custom systemrescue virtuozzo 64bit 32bit bit
    jammy focal bionic xenial noble trixie bookworm bullseye buster stretch jessie wheezy
";

/// Parts of the names of places and network operators.
const PLACES: &str = "
    us usa united states eu europe uk kingdom england germany france netherlands japan china canada australia singapore emirates arab
    hong kong hk uae dubai amsterdam osaka tokyo taiwan london frankfurt rotterdam eygelshoven sydney vancouver toronto montreal
    california los angeles san jose fremont francisco santa clara arizona phoenix new york jersey texas dallas florida miami
    illinois chicago washington seattle georgia atlanta nevada vegas las british columbia british holland north south east west
    city area bay datacenter data center centre premium direct route routes routing transit mixed example softbank iij ntt pccw telia
    cogent hurricane electric he china telecom unicom mobile netcom multacom qnet quadranet coresite equinix digital realty peer
    peering global internet exchange optimized to mainland asia via and with in of the dc a b c d
";

/// Kinds of abuse.
const ABUSE: &str = "
    copyright spam abuse ddos dos flood attack scan scanning portscan phishing malware botnet brute force bruteforce hacking
    dmca mining miner torrent proxy resource cpu network bandwidth infringement fraud hosting illegal content
    alerts notifications miscellaneous
";

/// Words of field names beside those of the known fields.
const FIELDS: &str = "
    is has can was count number total max min free used available limit state enabled time date duration interval name
    id ids list items value values unit units percent ratio size rate speed mode version level code reason progress
    created updated expires next last previous first start end begin ip ipv4 ipv6 mac address addresses host node vm vps ve vz
";

/// The words as sets.
#[derive(Debug)]
pub(super) struct Vocabulary {
    states: HashSet<&'static str>,
    words: HashSet<&'static str>,
    fields: HashSet<&'static str>,
    field_words: HashSet<String>,
}

impl Vocabulary {
    pub(super) fn new() -> Self {
        let all = [SENTENCES, MARKUP, PLANS, SYSTEMS, PLACES, ABUSE, STATES];
        let mut field_words: HashSet<String> = fields::KNOWN
            .split_ascii_whitespace()
            .flat_map(words_of)
            .collect();
        field_words.extend(FIELDS.split_ascii_whitespace().map(str::to_owned));
        Self {
            states: STATES.split_ascii_whitespace().collect(),
            words: all
                .iter()
                .flat_map(|text| text.split_ascii_whitespace())
                .collect(),
            fields: fields::KNOWN.split_ascii_whitespace().collect(),
            field_words,
        }
    }

    /// True for a field name that the API is known to use.
    pub(super) fn is_field(&self, name: &str) -> bool {
        self.fields.contains(name)
    }

    /// True for a word of state, in upper or lower case.
    pub(super) fn is_state(&self, text: &str) -> bool {
        self.states.contains(&*text.to_ascii_lowercase())
    }

    /// True for a known word, in upper or lower case.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.words.contains(&*word.to_ascii_lowercase())
    }

    /// True for a name that only consists of words of field names.
    pub(super) fn is_of_field_words(&self, name: &str) -> bool {
        let words = words_of(name);
        !words.is_empty() && words.iter().all(|word| self.field_words.contains(word))
    }
}
