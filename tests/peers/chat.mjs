// Chat channels against servers that are not ours. Their own tests play the provider as its
// documentation is understood here; these take somebody else's word for what a valid request is. Run
// by scripts/peers-chat. Nothing leaves this machine.

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

import {
    ask, check, finish, freePort, front, have, host, json, letters, listen, npm, peer, pip, skip, specs,
    start, work,
} from "./kit.mjs";

const require = createRequire(import.meta.url);

// --- Matrix: a homeserver ------------------------------------------------------------------------

await peer("matrix", async (name) => {
    if (!have("python3")) return skip(name, "python3 is missing: install Python 3.9 or newer with venv and pip");
    const bin = pip("matrix-synapse", "1.163.0");
    if (!bin) return skip(name, "pip cannot install matrix-synapse 1.163.0: see what it says above");
    const port = await freePort();
    const folder = path.join(work, "synapse");
    fs.mkdirSync(folder);
    const signing = spawnSync(path.join(bin, "generate_signing_key"), ["-o", path.join(folder, "key")]);
    if (signing.status !== 0) throw new Error(String(signing.stderr));
    fs.writeFileSync(path.join(folder, "log.yaml"), `
version: 1
handlers: { console: { class: logging.StreamHandler } }
root: { level: INFO, handlers: [console] }
`);
    // Room for what is sent here and not much more: the homeserver's own rate limit is wanted too.
    const burst = 30;
    fs.writeFileSync(path.join(folder, "homeserver.yaml"), `
server_name: localhost
report_stats: false
listeners:
  - { port: ${port}, bind_addresses: ["127.0.0.1"], type: http, tls: false, resources: [{ names: [client] }] }
database: { name: sqlite3, args: { database: "${folder}/homeserver.db" } }
log_config: ${folder}/log.yaml
media_store_path: ${folder}/media
signing_key_path: ${folder}/key
macaroon_secret_key: peers
form_secret: peers
trusted_key_servers: []
suppress_key_server_warning: true
enable_registration: true
enable_registration_without_verification: true
rc_message: { per_second: 0.5, burst_count: ${burst} }
`);
    await start(path.join(bin, "python3"), ["-m", "synapse.app.homeserver", "--config-path",
        path.join(folder, "homeserver.yaml")], /^/);
    const client = `http://127.0.0.1:${port}/_matrix/client/v3`;
    // It says nothing when it listens.
    for (let tries = 0; tries < 600; tries += 1) {
        if ((await ask(`${client}/login`).catch(() => ({}))).status === 200) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const call = (method, what, body, token) => ask(`${client}/${what}`, {
        method, body: body && JSON.stringify(body),
        headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
    });
    const register = async (username) => (await call("POST", "register", {
        username, password: "peers", auth: { type: "m.login.dummy" },
    })).body.access_token;
    const [beeper, reader] = [await register("beeper"), await register("reader")];
    const room = (await call("POST", "createRoom", { name: "alerts" }, beeper)).body.room_id;
    const closed = (await call("POST", "createRoom", { name: "closed" }, reader)).body.room_id;
    const events = async () => (await call("GET",
        `rooms/${encodeURIComponent(room)}/messages?dir=b&limit=100`, undefined, beeper)).body.chunk
        .filter(({ type }) => type === "m.room.message");

    const server = await front(`http://127.0.0.1:${port}`);
    const account = (token, more = "") => host("matrix", {
        hosts: [server.url], secrets: { ACCESS_TOKEN: token },
        options: `homeserver = "${server.url}"\nroom_id = "${room}"\n${more}`,
    });
    const it = await account(beeper, 'overflow = "split"');
    const sent = await it.notify({ title: "db-1", message: "**full** & <b>", format: "markdown" });
    const [event] = await events();
    check("matrix: a message is delivered as the event of its id",
        [sent.status, sent.providerId], ["delivered", event.event_id]);
    check("matrix: it is text and HTML", [event.content.body, event.content.formatted_body],
        ["db-1\nfull & <b>", "<strong>db-1</strong><br><strong>full</strong> &amp; &lt;b&gt;"]);

    server.scripted.push({ lost: true });
    const repeated = await it.notify({ message: "said once" });
    const puts = server.seen.filter(({ method }) => method === "PUT").slice(-2);
    check("matrix: after an answer that was lost the message is sent again, with the same id",
        [repeated.status, puts[0].url === puts[1].url], ["delivered", true]);
    check("matrix: and is in the room once",
        (await events()).filter(({ content }) => content.body === "said once").length, 1);

    const before = (await events()).length;
    check("matrix: a long message in parts", [(await it.notify({ message: "word\n".repeat(20_000) })).status,
        (await events()).length - before], ["delivered", 3]);
    const single = await account(beeper);
    check("matrix: the longest body of one event", (await single.notify({ message: letters(48 * 1_024) })).status,
        "delivered");
    check("matrix: the longest of quotation marks is refused before it is sent",
        (await single.notify({ message: '"'.repeat(48 * 1_024) })).code, "too_long");
    check("matrix: a room that one is not in", (await it.notify({ targetId: closed })).code, "M_FORBIDDEN");
    check("matrix: health asks whose token it is",
        server.seen.some(({ url }) => url.endsWith("/account/whoami")), true);
    const stranger = await account("syt_nobody");
    const unknown = await stranger.notify({});
    check("matrix: a wrong token", [unknown.code, unknown.http], ["M_UNKNOWN_TOKEN", 424]);

    // The homeserver's own limit, with its own words; the second attempt is after it asked to wait.
    let limited = false;
    for (let sends = 0; sends < 2 * burst && !limited; sends += 1) {
        const { status } = await it.notify({ message: `fast ${sends}` });
        if (status !== "delivered") break;
        limited = server.seen.some((request) => request.status === 429);
    }
    check("matrix: over the homeserver's limit a message waits and is delivered", limited, true);
});

// --- Teams: the published schema of its cards ---------------------------------------------------

await peer("teams", async (name) => {
    const schema = json(path.join(specs, "teams/adaptive-card-1.5.0.json"));
    if (!schema) {
        return skip(name, `no schema: save https://adaptivecards.io/schemas/1.5.0/adaptive-card.json as ${specs}/teams/adaptive-card-1.5.0.json`);
    }
    const package_ = npm("ajv", "8.17.1");
    if (!package_) return skip(name, "npm cannot install ajv@8.17.1: see what it says above");
    const Ajv = require(package_).default;
    const ajv = new Ajv({ strict: false, validateFormats: false });
    ajv.addMetaSchema(require(path.join(package_, "lib/refs/json-schema-draft-06.json")));
    delete schema.id;
    const valid = ajv.compile(schema);
    const sample = (items) => ({ type: "AdaptiveCard", version: "1.4", body: items });
    check("teams schema: a valid card", valid(sample([{ type: "RichTextBlock", inlines: ["a"] }])), true);
    check("teams schema: a run that is none",
        valid(sample([{ type: "RichTextBlock", inlines: [{ type: "TextRun", text: 1 }] }])), false);
    check("teams schema: a block of no kind", valid(sample([{ type: "Paragraph", text: "a" }])), false);

    const seen = [];
    const workflow = http.createServer((request, response) => {
        const chunks = [];
        request.on("data", (chunk) => chunks.push(chunk));
        request.on("end", () => {
            const body = Buffer.concat(chunks);
            const say = (status, code) => {
                response.writeHead(status, {
                    "content-type": "application/json", "x-ms-workflow-run-id": "0858peers",
                });
                response.end(code ? JSON.stringify({ error: { code, message: code } }) : "");
            };
            const signed = new URL(request.url, "http://x").searchParams.get("sig") === "a-b_c%2";
            if (!signed) return say(401, "DirectApiAuthorizationRequired");
            if (body.length > 28_000) return say(413, "RequestEntityTooLarge");
            const message = JSON.parse(body);
            const attachment = message.attachments?.[0];
            // An extension of Teams that the schema does not know.
            const { msteams, ...card } = attachment?.content ?? {};
            const right = message.type === "message" && message.attachments.length === 1
                && attachment.contentType === "application/vnd.microsoft.card.adaptive"
                && msteams?.width === "Full" && valid(card);
            seen.push(card);
            return right ? say(202) : say(400, `Invalid: ${JSON.stringify(valid.errors)?.slice(0, 300)}`);
        });
    });
    const url = `http://127.0.0.1:${await listen(workflow)}`;
    const channel = (signature, more = "") => host("teams", {
        hosts: [url], secrets: { SIGNATURE: signature },
        options: `url = "${url}/workflows/1/triggers/manual/paths/invoke?api-version=1&sv=1.0"\n${more}`,
    });
    const it = await channel("a-b_c%2", 'overflow = "split"');
    const sent = await it.notify({ message: "plain *text*", priority: "high" });
    check("teams: a card is accepted", [sent.status, sent.providerId], ["delivered", "0858peers"]);
    check("teams: with every kind of markup", (await it.notify({
        title: "db-1", format: "markdown", priority: "urgent",
        message: "# a\n**b** *c* ~~d~~ `e` [f](https://x.example/)\n\n> g\n\n```sh\nh\n```\n- i\n\n---",
    })).status, "delivered");
    check("teams: a long message in parts", [(await it.notify({ message: "a \"line\"\n".repeat(1_500) })).status,
        seen.length > 3], ["delivered", true]);
    const wrong = await channel("other");
    const refused = await wrong.notify({});
    check("teams: a wrong signature", [refused.code, refused.http],
        ["DirectApiAuthorizationRequired", 424]);
});

finish();
