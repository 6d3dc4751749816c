use super::*;

/// What is said of a request: verb, group, version, namespace, resource, subresource and name, with a hyphen
/// for what is empty.
fn said(method: &str, target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let (method, path) = (method.parse().unwrap(), decoded(path));
    let info = RequestInfo::of(&method, &path, Query(query));
    let words = [
        info.verb.as_bytes(),
        info.api_group,
        info.api_version,
        info.namespace,
        info.resource,
        info.subresource,
        &info.name,
    ];
    let words = words.map(|word| match String::from_utf8_lossy(word).into_owned() {
        empty if empty.is_empty() => "-".to_owned(),
        word => word,
    });
    words.join(" ")
}

/// Each line: method, target, and what is to be said.
fn assert_table(table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let (method, target) = (cells[0], cells[1]);
        assert_eq!(
            said(method, target),
            cells[2..].join(" "),
            "{method} {target}"
        );
    }
}

#[test]
fn resources() {
    assert_table(
        "
        GET     /api/v1/namespaces                                list   - v1 - namespaces - -
        GET     /api/v1/namespaces/other                          get    - v1 other namespaces - other
        GET     /api/v1/namespaces/other/pods                     list   - v1 other pods - -
        GET     /api/v1/namespaces/other/pods/foo                 get    - v1 other pods - foo
        HEAD    /api/v1/namespaces/other/pods/foo                 get    - v1 other pods - foo
        GET     /api/v1/pods                                      list   - v1 - pods - -
        HEAD    /api/v1/pods                                      list   - v1 - pods - -
        GET     //api/v1/pods/                                    list   - v1 - pods - -
        GET     /api/v1/proxy/namespaces/other/pods/foo           proxy  - v1 other pods - foo
        GET     /api/v1/proxy/namespaces/other/pods/foo/a/b       proxy  - v1 other pods - foo
        PUT     /api/v1/namespaces/other/pods/foo/status          update - v1 other pods status foo
        GET     /api/v1/namespaces/other/pods/foo/proxy/a/b       get    - v1 other pods proxy foo
        POST    /api/v1/namespaces/other/pods/foo/exec?command=id create - v1 other pods exec foo
        PUT     /api/v1/namespaces/other/finalize                 update - v1 other namespaces finalize other
        PUT     /api/v1/namespaces/other/status                   update - v1 other namespaces status other
        PATCH   /api/v1/namespaces/other/pods/foo                 patch  - v1 other pods - foo
        POST    /api/v1/namespaces/other/pods                     create - v1 other pods - -
        OPTIONS /api/v1/pods                                      -      - v1 - pods - -
        POST    /apis/apps/v1beta3/namespaces/a/deployments       create apps v1beta3 a deployments - -
        GET     /apis/batch/v1/jobs/foo/status                    get    batch v1 - jobs status foo
        DELETE  /api/v1/namespaces/other/pods/foo                 delete - v1 other pods - foo
        DELETE  /api/v1/nodes                                     deletecollection - v1 - nodes - -
        DELETE  /api/v1/namespaces                                deletecollection - v1 - namespaces - -
        DELETE  /api/v1/namespaces/other/pods                     deletecollection - v1 other pods - -
        DELETE  /apis/apps/v1/namespaces/a/deployments            deletecollection apps v1 a deployments - -
        ",
    );
}

#[test]
fn watches() {
    assert_table(
        "
        GET  /api/v1/watch/pods                        watch - v1 - pods - -
        GET  /api/v1/watch/namespaces/other/pods       watch - v1 other pods - -
        GET  /api/v1/watch/namespaces/other/pods/foo   watch - v1 other pods - foo
        GET  /api/v1/pods?watch=true                   watch - v1 - pods - -
        GET  /api/v1/pods?watch=false                  list  - v1 - pods - -
        GET  /api/v1/namespaces/other/pods?watch=1     watch - v1 other pods - -
        GET  /api/v1/namespaces/other/pods?watch=0     list  - v1 other pods - -
        GET  /api/v1/pods?watch                        watch - v1 - pods - -
        GET  /api/v1/pods?watch=                       watch - v1 - pods - -
        GET  /api/v1/pods?limit=x&watch=FALSE          list  - v1 - pods - -
        GET  /api/v1/pods?watch=0&watch=1              list  - v1 - pods - -
        GET  /api/v1/pods?w%61tch=tru%65               watch - v1 - pods - -
        GET  /api/v1/pods?watch=%zz&watch=1            watch - v1 - pods - -
        GET  /api/v1/pods?watch=1;a=1                  list  - v1 - pods - -
        GET  /api/v1/namespaces/other/pods/foo?watch=1 get   - v1 other pods - foo
        GET  /api/v1/watch                             get   - v1 - - - -
        POST /api/v1/pods?watch=1                      create - v1 - pods - -
        ",
    );
}

#[test]
fn names_in_field_selectors() {
    for (selector, name) in [
        ("metadata.name=foo", "foo"),
        ("metadata.name==foo", "foo"),
        ("metadata.name!=foo", "-"),
        ("spec.nodeName=a,metadata.name=foo", "foo"),
        ("metadata.name=foo,metadata.name=bar", "bar"),
        ("metadata.name=foo&fieldSelector=metadata.name=bar", "foo"),
        ("metadata.name=foo,bar", "-"),
        ("metadata.name%3Dfoo", "foo"),
        ("metadata.name=a%5C,b", "a,b"),
        ("metadata.name=a%5Cb", "-"),
        ("metadata.name=a%5C", "-"),
        ("metadata.name=a=b", "-"),
        ("metadata.name=..", "-"),
        ("metadata.name=a/b", "-"),
        (",metadata.name=foo,", "foo"),
        ("=foo", "-"),
    ] {
        let target = format!("/api/v1/pods?fieldSelector={selector}");
        let about = |verb: &str, name: &str| format!("{verb} - v1 - pods - {name}");
        assert_eq!(said("GET", &target), about("list", name), "{selector}");
        let watch = format!("{target}&watch=1");
        assert_eq!(said("GET", &watch), about("watch", name), "{selector}");
        let all = about("deletecollection", "-");
        assert_eq!(said("DELETE", &target), all, "{selector}");
    }
    assert_table("GET /api/v1/watch/pods?fieldSelector=metadata.name=foo watch - v1 - pods - -");
}

#[test]
fn what_is_no_resource() {
    for target in [
        "/",
        "//",
        "/api",
        "/apis",
        "/api/v1",
        "/api/v1/",
        "/apis/apps",
        "/apis/apps/v1",
        "/apis/apps/v1/",
        "/healthz",
        "/openapi/v3/apis/apps/v1",
        "/badprefix/v1/pods",
        "/not-api/v1/pods/foo?watch=1",
    ] {
        for (method, verb) in [("GET", "get"), ("POST", "post"), ("PURGE", "purge")] {
            let nothing = format!("{verb} - - - - - -");
            assert_eq!(said(method, target), nothing, "{method} {target}");
        }
    }
}

#[test]
fn paths_are_read_decoded() {
    assert_table(
        "
        GET /api/v1/names%70aces/a%2fpods/x get - v1 a pods - x
        GET /api/v1/pods/a+b                get - v1 - pods - a+b
        GET /api/v1/pods/%zz                get - v1 - pods - %zz
        GET /api/v1//pods                   get - v1 - - - pods
        ",
    );
}
