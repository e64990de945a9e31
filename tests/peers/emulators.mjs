// Channels against emulators of their providers that npm brings: cheap enough for every CI. Their own
// tests play the provider as its documentation is understood here; these take somebody else's word for
// what a valid request is. Run by scripts/peers-emulators. Nothing leaves this machine.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import {
    ask, check, finish, freePort, front, host, json, letters, loopback, npm, peer, skip, start, work,
} from "./kit.mjs";

// A program of a few lines, in a process of its own.
const run = (lines, ready) => {
    const file = path.join(work, `${Math.random().toString(36).slice(2)}.mjs`);
    fs.writeFileSync(file, lines);
    return start(process.execPath, ["--import", loopback, file], ready, { NO_COLOR: "1" });
};

// --- Slack: a stateful emulator ----------------------------------------------------------------

await peer("slack", async (name) => {
    const package_ = npm("emulate", "0.8.0");
    if (!package_) return skip(name, "npm cannot install emulate@0.8.0: see what it says above, and whether it reaches its registry");
    const port = await freePort();
    const seed = {
        slack: {
            channels: [{ name: "general" }, { name: "alerts" }], strict_scopes: true,
            tokens: [
                { token: "xoxb-peers", user: "admin", scopes: ["chat:write", "channels:history", "channels:read"] },
                { token: "xoxb-reads", user: "admin", scopes: ["channels:read"] },
            ],
        },
    };
    await run(`
        import { createEmulator } from ${JSON.stringify(String(pathToFileURL(path.join(package_, "dist/api.js"))))};
        await createEmulator({ service: "slack", port: ${port}, seed: ${JSON.stringify(seed)} });
        console.log("ready");
    `, /ready/);
    const mock = await front(`http://127.0.0.1:${port}`);
    const api = `http://127.0.0.1:${port}/api`;
    const bearer = { authorization: "Bearer xoxb-peers" };
    const { body: list } = await ask(`${api}/conversations.list`, { method: "POST", headers: bearer });
    const alerts = list.channels.find((channel) => channel.name === "alerts").id;
    const general = list.channels.find((channel) => channel.name === "general").id;
    const texts = async (channel) => (await ask(`${api}/conversations.history`, {
        method: "POST", headers: { ...bearer, "content-type": "application/json" },
        body: JSON.stringify({ channel }),
    })).body.messages.map(({ text }) => text);

    const bot = (token, more = "") => host("slack", {
        hosts: [mock.url], secrets: { BOT_TOKEN: token },
        options: `api_base = "${mock.url}/api"\nchannel = "${alerts}"\n${more}`,
    });
    const it = await bot("xoxb-peers", 'overflow = "split"');
    const sent = await it.notify({
        title: "db-1", message: "**full** & <!channel> [page](https://x.example/)", format: "markdown",
    });
    check("slack: a message in Slack's own markup is delivered",
        [sent.status, /^\d{10}\.\d{6}$/.test(sent.providerId)], ["delivered", true]);
    check("slack: it is in the channel", (await texts(alerts))[0],
        "*db-1*\n*full* &amp; &lt;!channel&gt; <https://x.example/|page>");
    check("slack: into another channel", [(await it.notify({ targetId: general, message: "here" })).status,
        (await texts(general))[0]], ["delivered", "here"]);
    const before = (await texts(alerts)).length;
    check("slack: a long message in parts", [(await it.notify({ message: "word ".repeat(1_800) })).status,
        (await texts(alerts)).length - before], ["delivered", 3]);
    check("slack: no such channel", (await it.notify({ targetId: "C0NOWHERE" })).code, "channel_not_found");
    mock.scripted.push({ status: 429, headers: { "retry-after": "1" },
        body: { ok: false, error: "ratelimited" } });
    check("slack: limited, and then not", (await it.notify({ message: "after a while" })).status, "delivered");
    check("slack: health asks whose token it is",
        mock.seen.some(({ url }) => url === "/api/auth.test"), true);
    const reads = await bot("xoxb-reads");
    const refused = await reads.notify({});
    check("slack: a scope that is missing is said", [refused.code, /chat:write/.test(refused.detail)],
        ["missing_scope", true]);

    const webhook = await host("slack", {
        hosts: [mock.url], secrets: { WEBHOOK_PATH: "T000000001/B000000001/X000000001" },
        options: `hooks_base = "${mock.url}/services"`,
    });
    check("slack: through a webhook", [(await webhook.notify({ message: "by hook <b>" })).status,
        (await texts(general))[0]], ["delivered", "by hook &lt;b&gt;"]);
    check("slack: the webhook's path arrived whole",
        mock.posts().at(-1).url, "/services/T000000001/B000000001/X000000001");
    mock.scripted.push({ status: 404, headers: { "content-type": "text/plain" }, body: "no_service" });
    check("slack: a webhook that is gone", (await webhook.notify({})).http, 424);
});

// --- Telegram: an emulator of its transport -----------------------------------------------------

await peer("telegram", async (name) => {
    const package_ = npm("telegram-test-api", "4.2.1");
    if (!package_) return skip(name, "npm cannot install telegram-test-api@4.2.1: see what it says above, and whether it reaches its registry");
    const port = await freePort();
    await run(`
        import { createRequire } from "node:module";
        const found = createRequire(import.meta.url)(${JSON.stringify(package_)});
        const Server = found.TelegramServer ?? found.default ?? found;
        const server = new Server({ port: ${port}, host: "127.0.0.1", storage: "RAM", storeTimeout: 600 });
        await server.start();
        console.log("ready");
    `, /ready/);
    const mock = await front(`http://127.0.0.1:${port}`);
    const token = "123456:ABC-peers";
    const it = await host("telegram", {
        hosts: [mock.url], secrets: { BOT_TOKEN: token },
        options: `api_base = "${mock.url}"\nchat_id = "42"\noverflow = "split"`,
    });
    const history = async () => (await ask(`http://127.0.0.1:${port}/getUpdatesHistory`, {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }),
    })).body.result.map(({ message }) => message);
    const sent = await it.notify({
        title: "😀 db-1", message: "**full** `df`", format: "markdown", priority: "low",
    });
    check("telegram: a message is delivered", [sent.status, /^\d+$/.test(sent.providerId)],
        ["delivered", true]);
    const [first] = await history();
    check("telegram: it is there, with entities in UTF-16",
        [first.text, first.entities, first.disable_notification], ["😀 db-1\nfull df", [
            { length: 7, offset: 0, type: "bold" },
            { length: 4, offset: 8, type: "bold" },
            { length: 2, offset: 13, type: "code" },
        ], true]);
    check("telegram: a long message in parts", [(await it.notify({ message: "word ".repeat(1_000) })).status,
        (await history()).slice(1).map(({ text }) => text.length <= 4_096)], ["delivered", [true, true]]);
    check("telegram: the token arrived in the path",
        mock.posts().every(({ url }) => url.startsWith(`/bot${token}/`)), true);
    check("telegram: health asks whose token it is",
        mock.seen.some(({ url }) => url.endsWith("/getMe")), true);
    const says = (status, description, parameters) => mock.scripted.push({
        status, headers: { "content-type": "application/json" },
        body: { ok: false, error_code: status, description, parameters },
    });
    says(429, "Too Many Requests: retry after 1", { retry_after: 1 });
    const started = Date.now();
    check("telegram: limited, and then not", [(await it.notify({})).status, Date.now() - started >= 1_000],
        ["delivered", true]);
    says(403, "Forbidden: bot was blocked by the user");
    check("telegram: blocked", (await it.notify({})).code, "bot_was_blocked");
    says(400, "Bad Request: group chat was upgraded to a supergroup chat",
        { migrate_to_chat_id: -1001234567890 });
    const moved = await it.notify({});
    check("telegram: a group that moved", [moved.code, JSON.stringify(moved).includes("-1001234567890")],
        ["migrated", true]);
});

// --- Twilio: a stateful emulator ---------------------------------------------------------------

await peer("sms-twilio", async (name) => {
    const package_ = npm("emulate", "0.8.0");
    if (!package_) return skip(name, "npm cannot install emulate@0.8.0: see what it says above, and whether it reaches its registry");
    const port = await freePort();
    const main = json(path.join(package_, "package.json")).bin;
    await start(process.execPath, ["--import", loopback, path.join(package_, main.emulate ?? main), "start",
        "--service", "twilio", "--port", String(port)], new RegExp(`${port}`), { NO_COLOR: "1" });
    const mock = await front(`http://127.0.0.1:${port}`);
    const account = `AC${"0".repeat(32)}`;
    const options = (more) => `api_base = "${mock.url}"\naccount_sid = "${account}"\n${more}`;
    const sender = 'from = "+15551234567"';
    const channel = (more, token = "twilio_test_auth_token") => host("sms-twilio", {
        hosts: [mock.url], secrets: { AUTH_TOKEN: token }, options: options(more),
    });
    const it = await channel(sender);
    const sent = await it.notify({ targetId: "+15550002222", title: "db-1", message: "50 % & more é😀" });
    check("twilio: a message is queued", [sent.status, /^SM[0-9a-f]{32}$/.test(sent.providerId)],
        ["delivered", true]);
    const basic = Buffer.from(`${account}:twilio_test_auth_token`).toString("base64");
    const list = await (await fetch(`${mock.url}/2010-04-01/Accounts/${account}/Messages.json`, {
        headers: { authorization: `Basic ${basic}` },
    })).json();
    const kept = list.messages.find(({ sid }) => sid === sent.providerId);
    check("twilio: and reads back as it was written", [kept?.to, kept?.from, kept?.body],
        ["+15550002222", "+15551234567", "db-1\n50 % & more é😀"]);
    check("twilio: its health asked for the account",
        mock.seen.some(({ method, url, status }) => method === "GET" && url.endsWith(`${account}.json`) && status === 200), true);
    check("twilio: 1,601 characters are not sent", (await it.notify({
        targetId: "+15550002222", message: letters(1601),
    })).http, 400);
    mock.scripted.push({ status: 429, headers: { "retry-after": "1" }, body: { code: 20429, message: "Too Many Requests", status: 429 } });
    check("twilio: too many requests, and then not", (await it.notify({ targetId: "+15550002222" })).status, "delivered");
    mock.scripted.push({ status: 400, body: { code: 21610, message: "Attempt to send to unsubscribed recipient", status: 400 } });
    check("twilio: somebody who said STOP", (await it.notify({ targetId: "+15550002222" })).code, "21610");
    const stranger = await channel('from = "+15550009999"');
    check("twilio: a sender of somebody else's", (await stranger.notify({ targetId: "+15550002222" })).code, "21606");
    const wrong = await channel(sender, "wrong");
    check("twilio: a wrong token", (await wrong.notify({ targetId: "+15550002222" })).code, "20003");
    const keyed = await channel(`api_key_sid = "SK${"0".repeat(32)}"\n${sender}`, "twilio_test_api_secret");
    check("twilio: an API key", (await keyed.notify({ targetId: "+15550002222" })).status, "delivered");
});

finish();
