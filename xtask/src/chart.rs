//! `cargo xtask chart`: checks the chart with Helm and kube-score, and the alerts with promtool. Helm,
//! helm-docs and kube-score are installed from their Go modules if they are missing; a missing
//! promtool is reported.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::step;

/// The path of the chart, from the workspace's root.
pub(crate) const CHART: &str = "deploy/helm/orderstream";
const CASES: &str = "deploy/helm/tests";

/// Runs all checks of the chart and of the alerts.
///
/// # Errors
/// When a check fails.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    alerts(root)?;
    let tools = install_tools(root, &["helm", "helm-docs", "kube-score"])?;
    let helm = |args: &[&str]| {
        let mut command = Command::new(tools.join("helm"));
        command.current_dir(root).args(args);
        command
    };
    for example in examples(root)? {
        let mut lint = helm(&["lint", "--strict", CHART, "--values", &example]);
        step::run("lint the chart with an example", &mut lint)?;
    }
    // All cases are judged: one change of a template may concern several.
    let mut failed = 0;
    for case in cases(root)? {
        let name = case["name"].as_str().context("a case's name")?.to_owned();
        let release = case["release"].as_str().unwrap_or("shop");
        let mut args = vec!["template", release, CHART, "--namespace", "buying"];
        let example = case["example"].as_str().map(|name| format!("{CHART}/examples/{name}.yaml"));
        args.extend(example.iter().flat_map(|path| ["--values", path]));
        let settings = case["set"].as_array().cloned().unwrap_or_default();
        args.extend(settings.iter().filter_map(Value::as_str).flat_map(|set| ["--set", set]));
        match judge(&case, &step::output(&mut helm(&args))?) {
            Ok(()) => println!("   {name}: ok"),
            Err(error) => {
                failed += 1;
                println!("   {name}: FAILED, {error:#}");
            }
        }
    }
    ensure!(failed == 0, "{failed} cases of the chart failed");
    score(root, &tools)?;
    docs(root, &tools)
}

/// Installs those tools that are not there yet, and returns their folder.
///
/// # Errors
/// When one is missing and Go, which builds it, too.
pub(crate) fn install_tools(root: &Path, names: &[&str]) -> anyhow::Result<PathBuf> {
    let tools = root.join("target/tools/bin");
    let mut install = Command::new(root.join("deploy/tools/install"));
    step::run("find the tools", install.arg(&tools).args(names))?;
    Ok(tools)
}

fn alerts(root: &Path) -> anyhow::Result<()> {
    if Command::new("promtool").arg("--version").output().is_err() {
        let text = "promtool is not installed (Debian's package `prometheus` has it)";
        if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
            bail!("{text}");
        }
        println!("== alerts: SKIPPED, {text}");
        return Ok(());
    }
    let promtool = || {
        let mut command = Command::new("promtool");
        command.current_dir(root.join("deploy/alerts"));
        command
    };
    step::run("check the rules", promtool().args(["check", "rules", "orderstream.rules.yaml"]))?;
    let mut tests = promtool();
    tests.args(["test", "rules"]);
    for entry in fs::read_dir(root.join("deploy/alerts/tests"))? {
        tests.arg(entry?.path());
    }
    step::run("test the rules: each fires, and stays silent", &mut tests)
}

fn examples(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(CHART).join("examples"))? {
        found.push(entry?.path().display().to_string());
    }
    found.sort();
    Ok(found)
}

fn cases(root: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(root.join(CASES).join("cases.yaml")).context("read the cases")?;
    let cases: Vec<Value> = serde_saphyr::from_str(&text).context("parse the cases")?;
    ensure!(!cases.is_empty(), "there is no case");
    Ok(cases)
}

/// Checks a case, which either expects a failure with one clear line, or rendered objects with
/// certain properties.
fn judge(case: &Value, output: &std::process::Output) -> anyhow::Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    if let Some(expected) = case["fails"].as_str() {
        ensure!(!output.status.success(), "it does not fail");
        let is_reported = stderr.lines().any(|line| line.contains(expected));
        ensure!(is_reported, "no line says '{expected}': {stderr}");
        return Ok(());
    }
    ensure!(output.status.success(), "{stderr}");
    let objects = documents(&String::from_utf8_lossy(&output.stdout))?;
    for claim in case["claims"].as_array().into_iter().flatten() {
        let text = |field: &str| claim[field].as_str().unwrap_or_default();
        let is_named = |object: &Value, field: &str| {
            text(field).is_empty() || object["metadata"][field] == text(field)
        };
        let object = objects.iter().find(|object| {
            object["kind"] == text("kind")
                && is_named(object, "name")
                && is_named(object, "namespace")
        });
        if claim["absent"] == true {
            ensure!(object.is_none(), "{claim}: it is there");
            continue;
        }
        let object = object.with_context(|| format!("{claim}: no such object"))?;
        if claim["path"].is_string() {
            let actual = object.pointer(text("path")).unwrap_or(&Value::Null);
            ensure!(*actual == claim["is"], "{claim}: it is {actual}");
        }
    }
    Ok(())
}

fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let parts =
        text.split("\n---").filter(|part| part.lines().any(|line| line.starts_with("kind:")));
    parts
        .map(|part| serde_saphyr::from_str(part.trim_start_matches("---")).context("parse YAML"))
        .collect()
}

/// Checks the chart's objects with kube-score: by default, and with each example. Exceptions are its
/// flags, each with a reason, for all renderings or for that of one example.
fn score(root: &Path, tools: &Path) -> anyhow::Result<()> {
    let exceptions = root.join(CASES).join("kube-score.yaml");
    let exceptions = fs::read_to_string(exceptions).context("read kube-score's exceptions")?;
    let exceptions: Vec<Value> =
        serde_saphyr::from_str(&exceptions).context("parse kube-score's exceptions")?;
    let dir = root.join("target/chart");
    fs::create_dir_all(&dir).context("create target/chart")?;
    for example in examples(root)?.into_iter().map(Some).chain([None]) {
        let name = example.as_deref().and_then(|path| Path::new(path).file_stem()?.to_str());
        let mut template = Command::new(tools.join("helm"));
        template.current_dir(root).args(["template", "shop", CHART, "--namespace", "buying"]);
        template.args(example.iter().flat_map(|path| ["--values", path]));
        let output = step::output(&mut template)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rendered = dir.join(format!("{}.yaml", name.unwrap_or("default")));
        fs::write(&rendered, output.stdout).context("write what the chart makes")?;
        let mut score = Command::new(tools.join("kube-score"));
        score.args(["score", "--exit-one-on-warning", "--output-format", "ci"]);
        for exception in &exceptions {
            ensure!(exception["why"].is_string(), "{exception}: no reason");
            if exception["example"].is_null() || exception["example"].as_str() == name {
                score.arg(exception["flag"].as_str().context("an exception's flag")?);
            }
        }
        let output = step::output(score.arg(&rendered))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("[CRITICAL]") || line.starts_with("[WARNING]"))
            .collect();
        let what = name.unwrap_or("the defaults");
        ensure!(output.status.success() && found.is_empty(), "{what}: {}", found.join("\n"));
        println!("   kube-score, {what}: ok");
    }
    Ok(())
}

/// Checks that the chart's page equals the one that helm-docs generates from its values.
fn docs(root: &Path, tools: &Path) -> anyhow::Result<()> {
    let page = root.join(CHART).join("README.md");
    let before = fs::read_to_string(&page).unwrap_or_default();
    let mut docs = Command::new(tools.join("helm-docs"));
    docs.current_dir(root).args(["--chart-search-root", CHART, "--log-level", "warning"]);
    step::run("make the chart's page", &mut docs)?;
    ensure!(fs::read_to_string(&page)? == before, "{CHART}/README.md was stale; commit it");
    Ok(())
}

#[cfg(test)]
mod tests {
    //! Tests of Argo CD's health script for orders, and of the chart's values.

    use mlua::{Lua, LuaSerdeExt as _};
    use serde_json::{Map, Value};

    /// The settings with keys that are defined by the user or by Kubernetes.
    const FREE: [&str; 26] = [
        "additionalRuleLabels",
        "affinity",
        "annotations",
        "behavior",
        "commonAnnotations",
        "commonLabels",
        "containerSecurityContext",
        "dnsConfig",
        "env",
        "headers",
        "imagePullSecrets",
        "labels",
        "livenessProbe",
        "nodeSelector",
        "podAnnotations",
        "podLabels",
        "podSecurityContext",
        "readinessProbe",
        "resources",
        "secretHeaders",
        "startupProbe",
        "strategy",
        "templatesConfigMaps",
        "tolerations",
        "topologySpreadConstraints",
        "updateStrategy",
    ];

    fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
        value.as_object().into_iter().flat_map(Map::iter)
    }

    /// Checks that the values and their schema have the same keys.
    fn agree(path: &str, values: &Value, schema: &Value) {
        // The globals of a parent chart are given to all its charts, with keys of others.
        assert_eq!(schema["additionalProperties"] == false, path != "/global", "{path}");
        for (name, value) in fields(values) {
            let path = format!("{path}/{name}");
            let schema = &schema["properties"][name];
            assert!(schema.is_object(), "{path} is not in the schema");
            if value.is_object() && !FREE.contains(&name.as_str()) {
                agree(&path, value, schema);
            }
        }
        for (name, _) in fields(&schema["properties"]) {
            assert!(values.get(name).is_some(), "{path}/{name} is in the schema only");
        }
    }

    #[test]
    fn schema_and_values_have_equal_keys() {
        let values = include_str!("../../deploy/helm/orderstream/values.yaml");
        let values: Value = serde_saphyr::from_str(values).unwrap();
        let schema = include_str!("../../deploy/helm/orderstream/values.schema.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        agree("", &values, &schema);
    }

    #[test]
    fn every_value_has_a_comment() {
        let values = include_str!("../../deploy/helm/orderstream/values.yaml");
        let mut is_documented = false;
        for line in values.lines() {
            let text = line.trim();
            if text.starts_with('#') {
                is_documented |= text.starts_with("# -- ");
                continue;
            }
            // A key followed by text is a value, except below a key in `FREE`.
            let is_value = text.split_once(": ").is_some();
            let is_free = text.split(':').next().is_some_and(|key| FREE.contains(&key))
                || ["requests", "limits"].contains(&text.split(':').next().unwrap_or_default());
            assert!(!is_value || is_free || is_documented, "no `# --` stands above: {line}");
            is_documented = false;
        }
    }

    /// The cases are in `deploy/argocd/testdata`.
    #[test]
    fn argo_cd_shows_every_order_health() {
        let script = include_str!("../../deploy/argocd/health.lua");
        let cases = include_str!("../../deploy/argocd/testdata/cases.yaml");
        let cases: Vec<Value> = serde_saphyr::from_str(cases).unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let lua = Lua::new();
            lua.globals().set("obj", lua.to_value(&case["object"]).unwrap()).unwrap();
            let health: mlua::Value = lua.load(script).eval().unwrap();
            let health: Value = lua.from_value(health).unwrap();
            assert_eq!(health, case["health"], "{}", case["name"]);
        }
    }
}
