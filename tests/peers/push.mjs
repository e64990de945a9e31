// Alert, phone and push channels against servers that are not ours. Their own tests play the
// provider as its documentation is understood here; these take somebody else's word for what a valid
// request is. Run by scripts/peers-push. Everything listens on this machine, and nothing leaves it.

import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import path from "node:path";

import {
    check, fail, finish, freePort, front, have, host, json, letters, listen, peer, post, prism,
    skip, specs, start, work,
} from "./kit.mjs";

// --- Gotify: Prism over Gotify's own description -----------------------------------------------

await peer("gotify", async (name) => {
    const description = json(path.join(specs, "gotify/spec.json"));
    if (!description) {
        return skip(name, `no description: save docs/spec.json of https://github.com/gotify/server as ${specs}/gotify/spec.json`);
    }
    const mock = await front(await prism(description));
    check("gotify mock: no key", await post(`${mock.url}/message`, { message: "a" }), 401);
    const key = { "x-gotify-key": "A" };
    check("gotify mock: no message", await post(`${mock.url}/message`, { title: "a" }, key),
        (status) => status >= 400);
    check("gotify mock: a valid message", await post(`${mock.url}/message`, { message: "a" }, key), 200);
    mock.seen.length = 0;
    const it = await host("gotify", {
        hosts: [mock.url], secrets: { APP_TOKEN: "AppTokenOfThePeers" },
        options: `url = "${mock.url}"`,
    });
    const sent = await it.notify({
        title: "db-1", message: "**full**", format: "markdown", priority: "urgent",
        data: { gotify: { click: "https://db-1.example/", image: "https://db-1.example/1.png" } },
    });
    check("gotify: a message with all that Gotify knows", [sent.status, typeof sent.providerId],
        ["delivered", "string"]);
    check("gotify: plain text", (await it.notify({})).status, "delivered");
    check("gotify: the token arrived", mock.posts().map(({ headers }) => headers["x-gotify-key"]),
        ["AppTokenOfThePeers", "AppTokenOfThePeers"]);
    mock.scripted.push({ status: 503 });
    check("gotify: down, and up again", (await it.notify({})).status, "delivered");
    // Last: a misconfigured channel is stopped.
    mock.scripted.push({ status: 401, body: { error: "Unauthorized", errorCode: 401, errorDescription: "no" } });
    check("gotify: a wrong token", (await it.notify({})).code, "http_401");
});

// --- PagerDuty: Prism over PagerDuty's own description -----------------------------------------

await peer("pagerduty", async (name) => {
    const description = json(path.join(specs, "pagerduty/openapiv3.json"));
    if (!description) {
        return skip(name, `no description: save reference/events-v2/openapiv3.json of https://github.com/PagerDuty/api-schema as ${specs}/pagerduty/openapiv3.json`);
    }
    // The mock does not add the path of the server's address.
    description.paths = { "/v2/enqueue": description.paths["/enqueue"] };
    delete description.servers;
    const mock = await front(await prism(description));
    const url = `${mock.url}/v2/enqueue`;
    const event = { routing_key: "k", event_action: "trigger" };
    const payload = { summary: "a", source: "b", severity: "info" };
    check("pagerduty mock: a valid event", await post(url, { ...event, payload }), 202);
    check("pagerduty mock: no severity", await post(url, { ...event, payload: { summary: "a", source: "b" } }),
        (status) => status >= 400);
    check("pagerduty mock: no such action", await post(url, { ...event, event_action: "close" }),
        (status) => status >= 400);
    mock.seen.length = 0;
    const key = "e93facc04764012d7bfb002500d5d1a6";
    const it = await host("pagerduty", {
        hosts: [mock.url], secrets: { ROUTING_KEY: key },
        options: `api_base = "${mock.url}"\nsource = "db-1"\ncomponent = "disk"`,
    });
    const sent = await it.notify({
        title: "db-1: disk full", message: "98 %", priority: "urgent", data: {
            host: "db-1", pagerduty: {
                dedup_key: "db-1/disk", links: [{ href: "https://runbook.example/" }],
                images: [{ src: "https://graph.example/1.png" }],
            },
        },
    });
    check("pagerduty: an event with all that PagerDuty knows", sent.status, "delivered");
    check("pagerduty: an alert acknowledged", (await it.notify({
        data: { pagerduty: { action: "acknowledge", dedup_key: "db-1/disk" } },
    })).status, "delivered");
    check("pagerduty: an alert resolved", (await it.notify({
        data: { pagerduty: { action: "resolve", dedup_key: "db-1/disk" } },
    })).status, "delivered");
    check("pagerduty: the key arrived in the body",
        mock.posts().every(({ body }) => JSON.parse(body).routing_key === key), true);
    mock.seen.length = 0;
    mock.scripted.push({ status: 500 });
    check("pagerduty: down, and up again", (await it.notify({})).status, "delivered");
    const keys = mock.posts().map(({ body }) => JSON.parse(body).dedup_key);
    check("pagerduty: the same key on both attempts", [keys.length, keys[0] === keys[1]], [2, true]);
    mock.scripted.push({ status: 400, body: { status: "invalid event", message: "Event object is invalid",
        errors: ["Length of 'routing_key' is incorrect (should be 32 characters)"] } });
    check("pagerduty: a wrong key", (await it.notify({})).code, "invalid_routing_key");
});

// --- WhatsApp: Prism over Meta's own description -----------------------------------------------

await peer("whatsapp", async (name) => {
    const description = json(path.join(specs, "whatsapp/slice.messages.thin.json"));
    if (!description) {
        return skip(name, `no description: cut business-messaging-api of https://github.com/facebook/openapi to POST /{Version}/{Phone-Number-ID}/messages and save it as ${specs}/whatsapp/slice.messages.thin.json`);
    }
    const mock = await front(await prism(description));
    const url = `${mock.url}/v23.0/106540352242922/messages`;
    const bearer = { authorization: "Bearer raw" };
    const valid = {
        messaging_product: "whatsapp", recipient_type: "individual", to: "+16505551234", type: "text",
        text: { body: "a" },
    };
    check("whatsapp mock: a valid text", await post(url, valid, bearer), 200);
    check("whatsapp mock: no token", await post(url, valid), 401);
    check("whatsapp mock: no messaging_product", await post(url, { ...valid, messaging_product: undefined }, bearer), 422);
    check("whatsapp mock: an unknown member of text", await post(url, { ...valid, text: { body: "a", x: 1 } }, bearer), 422);
    check("whatsapp mock: a template without a language", await post(url, {
        ...valid, type: "template", text: undefined, template: { name: "a" },
    }, bearer), 422);
    mock.seen.length = 0;
    const it = await host("whatsapp", {
        hosts: [mock.url], secrets: { ACCESS_TOKEN: "EAAPeers" },
        options: `api_base = "${mock.url}"\nphone_number_id = "106540352242922"\nto = "+16505551234"`,
    });
    check("whatsapp: a text", (await it.notify({ title: "db-1", message: "98 %" })).status, "delivered");
    check("whatsapp: markdown", (await it.notify({ message: "**98** %", format: "markdown" })).status, "delivered");
    check("whatsapp: 4,096 characters", (await it.notify({ message: letters(4096) })).status, "delivered");
    check("whatsapp: 4,097 are not sent", (await it.notify({ message: letters(4097) })).http, 400);
    const template = { name: "alert", language: "en_US", parameters: ["db-1", "98 %"] };
    check("whatsapp: a template", (await it.notify({ data: { whatsapp: { template } } })).status, "delivered");
    check("whatsapp: the token arrived",
        mock.posts().every(({ headers }) => headers.authorization === "Bearer EAAPeers"), true);
    const refusal = (code) => ({ status: 400, body: { error: { code, message: `(#${code})`, type: "OAuthException" } } });
    mock.scripted.push(refusal(131047));
    check("whatsapp: nothing within 24 hours", (await it.notify({})).code, "131047");
    mock.scripted.push(refusal(130429));
    check("whatsapp: too many messages, and then not", (await it.notify({})).status, "delivered");
    mock.scripted.push({ status: 401, body: { error: { code: 190, message: "expired" } } });
    check("whatsapp: an expired token", (await it.notify({})).code, "190");
});

// --- FCM: Prism over Google's own description, and a token server that checks the assertion ----

await peer("push-fcm", async (name) => {
    const description = json(path.join(specs, "fcm/fcm.v1.openapi.json"));
    if (!description) {
        return skip(name, `no description: convert Google's discovery document fcm.v1 to OpenAPI and save it as ${specs}/fcm/fcm.v1.openapi.json`);
    }
    // Bearer tokens are there in the description by name alone.
    const mock = await front(await prism(description));
    const url = `${mock.url}/v1/projects/acme-app/messages:send`;
    const bearer = { authorization: "Bearer raw" };
    const valid = { message: { token: "t", notification: { body: "a" } } };
    check("fcm mock: a valid message", await post(url, valid, bearer), 200);
    check("fcm mock: an unknown member", await post(url, { message: { token: "t", x: 1 } }, bearer), 422);
    check("fcm mock: no such priority", await post(url, { message: { android: { priority: "LOUD" } } }, bearer), 422);
    check("fcm mock: data that is no text", await post(url, { message: { data: { n: 7 } } }, bearer), 422);
    mock.seen.length = 0;

    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const account = "push@acme-app.iam.gserviceaccount.com";
    const granted = [];
    const tokens = http.createServer((request, response) => {
        let body = "";
        request.on("data", (chunk) => { body += chunk; });
        request.on("end", () => {
            const form = new URLSearchParams(body);
            const wrong = wrongAssertion(form, publicKey, account);
            const answer = wrong
                ? { error: "invalid_grant", error_description: wrong }
                : { access_token: `ya29.${granted.push(form.get("assertion"))}`, expires_in: 3599, token_type: "Bearer" };
            response.writeHead(wrong ? 400 : 200, { "content-type": "application/json" });
            response.end(JSON.stringify(answer));
        });
    });
    const tokenBase = `http://127.0.0.1:${await listen(tokens)}`;
    const file = JSON.stringify({
        type: "service_account", project_id: "acme-app", client_email: account,
        private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
    });
    const channel = (more = "", key = file) => host("push-fcm", {
        hosts: [mock.url, tokenBase], secrets: { PRIVATE_KEY: key },
        grants: `[plugin.grants.secrets]\nPRIVATE_KEY = ["${tokenBase}"]\nACCESS_TOKEN = ["${mock.url}"]`,
        options: `project_id = "acme-app"\nclient_email = "${account}"\ntarget = "bk3RNwTe3H0:CI2k"\n`
            + `api_base = "${mock.url}"\ntoken_base = "${tokenBase}"\nandroid_channel_id = "alerts"\n${more}`,
    });
    const it = await channel();
    const sent = await it.notify({
        title: "db-1", message: "98 %", priority: "urgent", expiresAt: new Date(Date.now() + 3600_000).toISOString(),
        data: { fcm: { image: "https://db-1.example/1.png", data: { host: "db-1" }, collapse_key: "k", link: "https://db-1.example/" } },
    });
    check("fcm: a message with all that FCM knows", [sent.status, sent.providerId], ["delivered", "projects/p/messages/0:1"]);
    check("fcm: to a topic", (await it.notify({ targetId: "/topics/ops", priority: "low" })).status, "delivered");
    // The trial at the start has asked for one of its own.
    const current = () => `Bearer ya29.${granted.length}`;
    check("fcm: one token for both", mock.posts().map(({ headers }) => headers.authorization), [current(), current()]);
    const before = granted.length;
    mock.scripted.push({ status: 401, body: { error: { code: 401, status: "UNAUTHENTICATED", message: "expired" } } });
    check("fcm: a token that ended early", (await it.notify({})).status, "delivered");
    check("fcm: is exchanged for another", [granted.length, mock.posts().at(-1).headers.authorization],
        [before + 1, current()]);
    mock.scripted.push({ status: 404, body: { error: { code: 404, status: "NOT_FOUND", message: "gone",
        details: [{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", errorCode: "UNREGISTERED" }] } } });
    check("fcm: an app that is gone", (await it.notify({})).code, "UNREGISTERED");
    const other = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" });
    check("fcm: another account's key", (await (await channel("", other)).notify({})).code, "invalid_grant");
});

// What is wrong with an assertion, by
// https://developers.google.com/identity/protocols/oauth2/service-account.
function wrongAssertion(form, publicKey, account) {
    if (form.get("grant_type") !== "urn:ietf:params:oauth:grant-type:jwt-bearer") return "grant_type";
    const { header, claims, signed, signature } = jwt(form.get("assertion") ?? "");
    if (header?.alg !== "RS256" || header?.typ !== "JWT") return "header";
    if (!verify("RSA-SHA256", signed, publicKey, signature)) return "Invalid JWT Signature.";
    const now = Date.now() / 1000;
    if (claims.iss !== account) return "iss";
    if (claims.scope !== "https://www.googleapis.com/auth/firebase.messaging") return "scope";
    if (claims.aud !== "https://oauth2.googleapis.com/token") return "aud";
    if (Math.abs(claims.iat - now) > 60 || claims.exp <= now || claims.exp > claims.iat + 3600) return "iat, exp";
    return undefined;
}

function jwt(token) {
    const [header, claims, signature] = token.split(".");
    const read = (part) => JSON.parse(Buffer.from(part, "base64url"));
    try {
        return {
            header: read(header), claims: read(claims), signed: Buffer.from(`${header}.${claims}`),
            signature: Buffer.from(signature, "base64url"),
        };
    } catch {
        return {};
    }
}

// --- APNs: nghttpd for the transport, a double for what Apple says ------------------------------

await peer("push-apns", async (name) => {
    if (!have("openssl")) return skip(name, "openssl is missing: install it (Debian's package openssl)");
    const certificates = makeCertificates();
    if (certificates.wrong) return fail(name, `openssl makes no certificate: ${certificates.wrong}`);
    const { certificate, certificateKey } = certificates;

    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = privateKey.export({ type: "pkcs8", format: "pem" });
    const device = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
    const channel = (base, secret = key) => host("push-apns", {
        hosts: [base], secrets: { PRIVATE_KEY: secret },
        options: `team_id = "DEF123GHIJ"\nkey_id = "ABC123DEFG"\ntopic = "com.example.acme"\n`
            + `device_token = "${device}"\nsound = "default"\napi_base = "${base}"`,
        env: { CONDUCTOR_EXTRA_CA_FILE: certificates.authority },
    });

    const apple = appleDouble(certificate, certificateKey, publicKey);
    const it = await channel(`https://localhost:${await listen(apple.server)}`);
    const sent = await it.notify({
        title: "db-1", message: "98 %", priority: "urgent", expiresAt: new Date(Date.now() + 3600_000).toISOString(),
        data: { apns: { collapse_id: "db-1/disk", badge: 1, custom: { host: "db-1" } } },
    });
    check("apns: a notification over HTTP/2, its token valid", [sent.status, sent.providerId], ["delivered", sent.id]);
    for (let count = 0; count < 5; count += 1) await it.notify({});
    check("apns: one token and one connection for six", [apple.tokens.size, apple.sessions], [1, 1]);
    apple.says = { status: 410, reason: "Unregistered", timestamp: Date.now() };
    check("apns: an app that is gone", (await it.notify({})).code, "Unregistered");
    apple.says = { status: 429, reason: "TooManyRequests" };
    check("apns: too many to a device, and then not", (await it.notify({})).status, "delivered");
    const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" });
    const wrong = await channel(`https://localhost:${apple.server.address().port}`, other);
    check("apns: another key", (await wrong.notify({})).code, "InvalidProviderToken");

    if (!have("nghttpd")) {
        return skip("push-apns transport", "nghttpd is missing: install nghttp2 (Debian's package nghttp2-server)");
    }
    const served = path.join(work, "served");
    fs.mkdirSync(path.join(served, "3/device"), { recursive: true });
    fs.writeFileSync(path.join(served, "3/device", device), "");
    const port = await freePort();
    const nghttpd = await start("nghttpd", ["--verbose", "--address=127.0.0.1", "--htdocs", served, String(port),
        certificateKey, certificate], /listen/);
    const over = await channel(`https://localhost:${port}`);
    check("apns: nghttpd takes the request", (await over.notify({})).status, "delivered");
    check("apns: as HTTP/2, with Apple's headers",
        ["apns-topic: com.example.acme", "apns-push-type: alert", ":path: /3/device/"].every((line) => nghttpd.output.includes(line)), true);
    return undefined;
});

// An authority, and a certificate of localhost's that it signed.
function makeCertificates() {
    const file = (name) => path.join(work, name);
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    const signed = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-addext", "subjectAltName=DNS:localhost",
        "-addext", "basicConstraints=critical,CA:FALSE"];
    for (const [name, subject, more] of [["ca", "Peers", []], ["server", "localhost", signed]]) {
        const made = spawnSync("openssl", [...request, "-subj", `/CN=${subject}`, ...more,
            "-keyout", file(`${name}.key`), "-out", file(`${name}.pem`)], { encoding: "utf8" });
        if (made.status !== 0) return { wrong: made.stderr };
    }
    return { authority: file("ca.pem"), certificate: file("server.pem"), certificateKey: file("server.key") };
}

// Apple as its documentation has it: HTTP/2 alone, a token that must verify, and the reason it is
// told to give for the next notification.
function appleDouble(certificate, certificateKey, publicKey) {
    const double = { tokens: new Set(), sessions: 0, says: undefined };
    double.server = http2.createSecureServer({
        cert: fs.readFileSync(certificate), key: fs.readFileSync(certificateKey), allowHTTP1: false,
    });
    double.server.on("session", (session) => {
        double.sessions += 1;
        session.on("error", () => {});
    });
    double.server.on("stream", (stream, headers) => {
        let body = "";
        stream.on("error", () => {});
        stream.on("data", (chunk) => { body += chunk; });
        stream.on("end", () => {
            const says = wrongPush(headers, body, publicKey) ?? double.says;
            double.says = undefined;
            double.tokens.add(headers.authorization);
            stream.respond({ ":status": says?.status ?? 200, "apns-id": headers["apns-id"] });
            stream.end(says ? JSON.stringify({ reason: says.reason, timestamp: says.timestamp }) : "");
        });
    });
    return double;
}

function wrongPush(headers, body, publicKey) {
    const { header, claims, signed, signature } = jwt((headers.authorization ?? "").replace(/^bearer /, ""));
    const key = createPublicKey(publicKey.export({ type: "spki", format: "pem" }));
    const valid = header?.alg === "ES256" && header.kid === "ABC123DEFG" && claims.iss === "DEF123GHIJ"
        && verify("SHA256", signed, { key, dsaEncoding: "ieee-p1363" }, signature);
    if (!valid) return { status: 403, reason: "InvalidProviderToken" };
    if (Math.abs(claims.iat - Date.now() / 1000) > 3600) return { status: 403, reason: "ExpiredProviderToken" };
    if (headers["apns-topic"] !== "com.example.acme") return { status: 400, reason: "MissingTopic" };
    if (!/^\/3\/device\/[0-9a-f]{64}$/.test(headers[":path"])) return { status: 400, reason: "BadDeviceToken" };
    if (headers["apns-push-type"] !== "alert") return { status: 400, reason: "InvalidPushType" };
    if (Buffer.byteLength(body) > 4096) return { status: 413, reason: "PayloadTooLarge" };
    if (!JSON.parse(body).aps?.alert?.body) return { status: 400, reason: "PayloadEmpty" };
    return undefined;
}

skip("ntfy", "no package of a system that is known here has its server: install it from https://docs.ntfy.sh/install/ and try it by hand");

finish();
