//! The pods and their workload.

use serde_json::{Value, json};

use super::render::{
    Objects, RELEASE, find, named, only, rendered, rendered_with, set, sets, texts, yaml,
};

/// Checks the fields of the restricted Pod Security Standard.
fn assert_restricted(pod: &Value, name: &str) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        assert_ne!(pod[field], true, "{name}: {field}");
    }
    let security = &pod["securityContext"];
    assert_eq!(security["runAsNonRoot"], true, "{name}");
    assert_eq!(
        security["seccompProfile"]["type"], "RuntimeDefault",
        "{name}"
    );
    assert!(security["sysctls"].is_null(), "{name}");
    for id in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert_eq!(security[id], 65532, "{name}: {id}");
    }
    assert!(pod["initContainers"].is_null(), "{name}");
    let container = only(&pod["containers"]);
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
    assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{name}");
    assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
    assert_ne!(security["privileged"], true, "{name}");
    for overridden in ["runAsUser", "runAsNonRoot", "seccompProfile", "procMount"] {
        assert!(security[overridden].is_null(), "{name}: {overridden}");
    }
    for port in container["ports"].as_array().into_iter().flatten() {
        assert!(port["hostPort"].is_null(), "{name}");
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = [
            "configMap",
            "secret",
            "emptyDir",
            "persistentVolumeClaim",
            "csi",
        ];
        assert!(
            kinds.iter().any(|kind| volume.get(kind).is_some()),
            "{name}: {volume}"
        );
    }
    // The standard does not require these, but nothing here needs them.
    assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
    assert_eq!(pod["enableServiceLinks"], false, "{name}");
}

#[test]
fn pods_comply_with_the_restricted_standard() {
    for set in sets() {
        let name = set.display().to_string();
        let objects = rendered(&set);
        assert_restricted(objects.pod(), &name);
        assert_restricted(&objects.one("Pod")["spec"], &name);
        for resource in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
            let resources = &objects.container()["resources"];
            assert!(resources.pointer(resource).is_some(), "{name}: {resource}");
        }
    }
}

#[test]
fn volumes_and_mounts_match() {
    for set in sets() {
        let objects = rendered(&set);
        let claims = objects.workload()["spec"]["volumeClaimTemplates"]
            .as_array()
            .map_or(vec![], |claims| {
                claims
                    .iter()
                    .map(|claim| &claim["metadata"]["name"])
                    .collect()
            });
        let volumes = objects.pod()["volumes"].as_array();
        let mut volumes: Vec<&Value> = volumes
            .into_iter()
            .flatten()
            .map(|volume| &volume["name"])
            .chain(claims)
            .collect();
        let mounts = objects.container()["volumeMounts"].as_array();
        let mut mounts: Vec<&Value> = mounts
            .into_iter()
            .flatten()
            .map(|mount| &mount["name"])
            .collect();
        volumes.sort_by_key(|name| name.as_str());
        mounts.sort_by_key(|name| name.as_str());
        assert_eq!(volumes, mounts, "{}", set.display());
    }
}

#[test]
fn one_exporter_is_a_deployment_with_strategy_recreate() {
    let objects = rendered(&set("minimal"));
    let spec = &objects.one("Deployment")["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(spec["strategy"], json!({"type": "Recreate"}));
    assert_eq!(
        texts(&objects.container()["args"]),
        ["--config.file=/etc/kiwivm/config/config.yaml"]
    );
    assert_eq!(
        named(&objects.pod()["volumes"], "state"),
        &json!({"name": "state", "emptyDir": {}})
    );
    assert_eq!(objects.one("Service")["spec"]["type"], "ClusterIP");
    assert_eq!(objects.all("PersistentVolumeClaim").count(), 0);
    assert_eq!(rendered_with(&set("minimal"), "replicas: 1").0, objects.0);
}

#[test]
fn shards_are_a_stateful_set_with_numbered_pods() {
    let objects = rendered(&set("shards"));
    let spec = &objects.one("StatefulSet")["spec"];
    assert_eq!(spec["replicas"], 3);
    assert_eq!(spec["podManagementPolicy"], "Parallel");
    let service = objects.one("Service");
    assert_eq!(spec["serviceName"], service["metadata"]["name"]);
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["type"], Value::Null);
    let container = objects.container();
    assert_eq!(
        texts(&container["args"])[1..],
        ["--total-shards=3", "--shard=$(POD_NAME)"]
    );
    let pod_name = named(&container["env"], "POD_NAME");
    assert_eq!(
        pod_name["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.name"
    );
    let claim = only(&spec["volumeClaimTemplates"]);
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "100Mi");
    assert!(find(&objects.pod()["volumes"], "state").is_none());

    // A Service cannot become headless, so it needs another name.
    let one = rendered_with(&set("shards"), "shards: 1");
    assert_ne!(
        one.one("Service")["metadata"]["name"],
        service["metadata"]["name"]
    );
}

#[test]
fn state_is_kept_in_a_claim() {
    let objects = rendered(&set("persistence"));
    let claim = objects.one("PersistentVolumeClaim");
    assert_eq!(claim["spec"]["storageClassName"], "standard");
    assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteOnce"]));
    let state = |objects: &Objects| named(&objects.pod()["volumes"], "state").clone();
    assert_eq!(
        state(&objects)["persistentVolumeClaim"]["claimName"],
        claim["metadata"]["name"]
    );
    let existing = rendered(&set("everything"));
    assert_eq!(existing.all("PersistentVolumeClaim").count(), 0);
    assert_eq!(
        state(&existing)["persistentVolumeClaim"]["claimName"],
        "kiwivm-state"
    );
    let none = rendered_with(&set("persistence"), "persistence: {storageClassName: '-'}");
    assert_eq!(
        none.one("PersistentVolumeClaim")["spec"]["storageClassName"],
        ""
    );
}

#[test]
fn a_new_configuration_restarts_the_exporter_and_a_new_key_does_not() {
    let base = rendered(&set("minimal"));
    let with = |values: &str| rendered_with(&set("minimal"), values);
    let pod = |objects: &Objects| objects.workload()["spec"]["template"].clone();
    let config = with("config: {staleness: 4}");
    assert_ne!(pod(&config), pod(&base));
    let key = with("keys: {tokyo-1: private_another}");
    assert_ne!(key.one("Secret"), base.one("Secret"));
    assert_eq!(pod(&key), pod(&base));
}

#[test]
fn keys_are_only_in_a_secret() {
    for set in sets() {
        let objects = rendered(&set);
        for object in &objects.0 {
            let secret = object["kind"] == "Secret";
            assert!(
                secret || !object.to_string().contains("private_"),
                "{object}"
            );
        }
    }
    let objects = rendered(&set("shards"));
    let secret = objects.one("Secret");
    let files: Vec<_> = secret["data"]
        .as_object()
        .expect("it is a map")
        .keys()
        .collect();
    assert_eq!(files, ["1234569.key", "tokyo-1.key", "tokyo-2.key"]);
    let volume = named(&objects.pod()["volumes"], "keys");
    assert_eq!(
        volume["secret"],
        json!({"secretName": secret["metadata"]["name"], "defaultMode": 0o440})
    );
    let mount = named(&objects.container()["volumeMounts"], "keys");
    assert_eq!(mount["readOnly"], true);
    let folder = named(&objects.container()["env"], "CREDENTIALS_DIRECTORY");
    assert_eq!(folder["value"], mount["mountPath"]);

    let existing = rendered(&set("existing-secret"));
    assert_eq!(existing.all("Secret").count(), 0);
    let volume = named(&existing.pod()["volumes"], "keys");
    assert_eq!(volume["secret"]["secretName"], "kiwivm-keys");
}

#[test]
fn every_vps_has_a_key_file_in_the_configuration() {
    let config = yaml(rendered(&set("existing-secret")).config());
    let files: Vec<_> = config["vps"]
        .as_array()
        .expect("it is a list")
        .iter()
        .map(|vps| vps["api_key_file"].as_str().expect("it is text"))
        .collect();
    assert_eq!(files, ["1234567.key", "tokyo_backup", "/mnt/vault/key"]);
    // null removes the default.
    assert!(config.get("state_file").is_none());
}

#[test]
fn keys_may_all_be_outside_the_secret() {
    let vps = "config: {vps: [{name: a, veid: 7, api_key_file: /mnt/vault/key}]}";
    let objects = rendered_with(&set("minimal"), &format!("keys: null\n{vps}"));
    assert_eq!(objects.all("Secret").count(), 0);
    let volume = named(&objects.pod()["volumes"], "keys");
    assert_eq!(volume["secret"]["optional"], true);
}

#[test]
fn users_and_groups_can_be_left_to_the_cluster() {
    let ids = "{runAsUser: null, runAsGroup: null, fsGroup: null}";
    let objects = rendered_with(&set("minimal"), &format!("podSecurityContext: {ids}"));
    let security = &objects.pod()["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    for id in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert!(security.get(id).is_none(), "{id}");
    }
}

#[test]
fn probes_use_http_or_the_program() {
    let probe = |objects: &Objects, which: &str| objects.container()[which].clone();
    let plain = rendered(&set("minimal"));
    let web = rendered(&set("web"));
    for (which, path) in [
        ("startupProbe", "/-/healthy"),
        ("livenessProbe", "/-/healthy"),
        ("readinessProbe", "/-/ready"),
    ] {
        assert_eq!(
            probe(&plain, which)["httpGet"],
            json!({"path": path, "port": "metrics"})
        );
        let exec = probe(&web, which);
        assert!(exec["httpGet"].is_null());
        assert_eq!(
            texts(&exec["exec"]["command"]),
            [
                "kiwivm_exporter",
                "healthcheck",
                "--web.config.file=/etc/kiwivm/web/web-config.yml"
            ]
        );
        assert_eq!(
            texts(&web.container()["args"])[1],
            texts(&exec["exec"]["command"])[2]
        );
    }
}

#[test]
fn services_and_policies_select_the_exporter_but_not_its_test_pod() {
    let selects = |selector: &Value, pod: &Value| {
        let wanted = selector.as_object().expect("it is a map");
        assert!(!wanted.is_empty());
        wanted
            .iter()
            .all(|(label, value)| pod["metadata"]["labels"][label] == *value)
    };
    for set in sets() {
        let objects = rendered(&set);
        let spec = &objects.workload()["spec"];
        let service = &objects.one("Service")["spec"]["selector"];
        let mut selectors = vec![&spec["selector"]["matchLabels"], service];
        for policy in objects.all("NetworkPolicy") {
            selectors.push(&policy["spec"]["podSelector"]["matchLabels"]);
        }
        for selector in selectors {
            assert!(selects(selector, &spec["template"]), "{}", set.display());
            assert!(!selects(selector, objects.one("Pod")), "{}", set.display());
            assert_eq!(selector["app.kubernetes.io/instance"], RELEASE);
        }
    }
}

#[test]
fn the_network_policy_allows_the_needed_egress() {
    let egress = |objects: &Objects| objects.one("NetworkPolicy")["spec"]["egress"].clone();
    let on = "networkPolicy: {enabled: true}";
    let dns = json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]});
    let tcp = |port: u16| json!({"ports": [{"port": port, "protocol": "TCP"}]});
    for (config, port) in [
        ("{}", 443),
        ("{api: {proxy: 'http://proxy.example.com:3128'}}", 3128),
        ("{api: {proxy: 'http://user:secret@proxy.example.com'}}", 80),
        ("{api: {proxy: 'https://[2001:db8::1]'}}", 443),
        ("{api: {endpoint: 'https://[2001:db8::1]:8443/v1'}}", 8443),
    ] {
        let objects = rendered_with(&set("minimal"), &format!("{on}\nconfig: {config}"));
        assert_eq!(egress(&objects), json!([dns, tcp(port)]), "{config}");
        let ingress = &objects.one("NetworkPolicy")["spec"]["ingress"];
        assert_eq!(
            ingress,
            &json!([{"ports": [{"port": "metrics", "protocol": "TCP"}]}])
        );
    }
    assert_eq!(egress(&rendered(&set("demo-web"))), json!([]));

    let all = rendered(&set("everything"));
    let out = egress(&all);
    assert_eq!(out[1]["to"][0]["ipBlock"]["cidr"], "192.0.2.0/24");
    assert_eq!(out[2], json!({"to": [{"podSelector": {}}]}));
    let from = &all.one("NetworkPolicy")["spec"]["ingress"][0]["from"];
    let test = &all.one("Pod")["metadata"]["labels"];
    assert_eq!(from[1]["podSelector"]["matchLabels"], *test);
    assert!(from[0].get("namespaceSelector").is_some());
}

#[test]
fn user_additions_are_rendered() {
    let objects = rendered(&set("everything"));
    let pod = objects.pod();
    assert_eq!(pod["priorityClassName"], "low");
    assert_eq!(pod["serviceAccountName"], "kiwivm");
    assert_eq!(pod["terminationGracePeriodSeconds"], 20);
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(pod["nodeSelector"]["kubernetes.io/os"], "linux");
    assert_eq!(only(&pod["tolerations"])["key"], "dedicated");
    assert!(pod["affinity"].get("nodeAffinity").is_some());
    assert_eq!(only(&pod["topologySpreadConstraints"])["maxSkew"], 1);
    let container = objects.container();
    assert_eq!(
        texts(&container["args"])[1..],
        ["--log.format=json", "--web.telemetry-path=/kiwivm"]
    );
    let share = named(&container["env"], "KIWIVM_EXPORTER_BUDGET__SHARE");
    assert_eq!(share["value"], "0.4");
    assert!(
        container["image"]
            .as_str()
            .is_some_and(|image| image.contains("kiwivm_exporter@sha256:"))
    );
    let template = &objects.workload()["spec"]["template"]["metadata"];
    assert_eq!(template["labels"]["team"], "seven");
    assert_eq!(template["annotations"]["example.com/owner"], "me");
    let service = objects.one("Service");
    assert_eq!(service["metadata"]["labels"]["team"], "seven");
    assert_eq!(service["spec"]["type"], "NodePort");
    assert_eq!(only(&service["spec"]["ports"])["port"], 9100);
}
