// What the peers of all channels need: processes that end with the script, a running conductor with
// one channel, a front that can answer in a server's place, and the counting.

import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const specs = process.env.CONDUCTOR_SPECS ?? path.join(root, "../shared/specs");
export const work = fs.mkdtempSync(path.join(os.tmpdir(), "conductor-peers-"));

const conductor = process.env.CONDUCTOR_BIN
    ?? path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, "target"), "debug/conductor");
const caches = process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), ".cache");
const tenant = "019aa7c4-5e00-7c3a-9b51-3f6de1d0c0de";

let unreachable = false;
const counts = { passed: 0, failed: 0, skipped: 0 };
const processes = new Set();
const servers = new Set();

export const pass = (what) => { counts.passed += 1; console.log(`ok       ${what}`); };
export const fail = (what, why) => { counts.failed += 1; console.log(`FAILED   ${what}: ${why}`); };
export const skip = (what, how) => { counts.skipped += 1; console.log(`SKIPPED  ${what}: ${how}`); };

// check(what, found, expected): expected is a value, or a function that says whether it is right.
export function check(what, found, expected) {
    const right = typeof expected === "function"
        ? expected(found)
        : JSON.stringify(found) === JSON.stringify(expected);
    if (right) pass(what);
    else fail(what, `found ${JSON.stringify(found)?.slice(0, 400)}${
        typeof expected === "function" ? "" : `, expected ${JSON.stringify(expected)}`}`);
}

function stopAll() {
    for (const process of processes) process.kill("SIGKILL");
    for (const server of servers) server.close();
    processes.clear();
    servers.clear();
}

export function finish() {
    stopAll();
    fs.rmSync(work, { recursive: true, force: true });
    const skipped = counts.skipped ? `, ${counts.skipped} skipped` : "";
    console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
    process.exit(counts.failed ? 1 : 0);
}

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]]) {
    process.on(signal, () => {
        stopAll();
        fs.rmSync(work, { recursive: true, force: true });
        process.exit(code);
    });
}

// What a peer needs is not to be had here, which is no fault of what is tested.
class Missing extends Error {}

// One peer after the other: some take much memory. What goes wrong in one does not end the others.
export async function peer(name, run) {
    try {
        await run(name);
    } catch (error) {
        if (error instanceof Missing) skip(name, error.message);
        else fail(name, error.stack ?? String(error));
    } finally {
        stopAll();
    }
}

export const have = (program) =>
    spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" }).status === 0;

// Loaded before a program, this has it listen here alone, whatever it asks for.
export const loopback = String(new URL("./loopback.mjs", import.meta.url));

// A package from npm, installed once and whole or not at all; its scripts do not run. A registry that
// does not answer is waited for once and not long: what needs it is skipped then.
export function npm(name, version) {
    const target = path.join(caches, "conductor/peers", `${name.split("/").pop()}-${version}`);
    const inside = path.join(target, "node_modules", name);
    if (fs.existsSync(inside)) return inside;
    if (unreachable) return undefined;
    console.error(`peers: installing ${name} ${version} (once)`);
    fs.mkdirSync(path.dirname(target), { recursive: true });
    const fresh = fs.mkdtempSync(path.join(path.dirname(target), ".new."));
    const done = spawnSync("npm", ["install", "--prefix", fresh, "--ignore-scripts", "--no-audit",
        "--no-fund", "--loglevel", "error", "--fetch-retries", "1", "--fetch-timeout", "30000",
        `${name}@${version}`], { stdio: ["ignore", "ignore", "inherit"], timeout: 60_000 });
    if (done.signal) console.error("peers: npm got no answer within a minute");
    // Another run may have been first.
    if (done.status === 0 && !fs.existsSync(target)) fs.renameSync(fresh, target);
    fs.rmSync(fresh, { recursive: true, force: true });
    unreachable = done.status !== 0;
    return unreachable ? undefined : inside;
}

// A virtual environment with a package from PyPI, made once and whole or not at all; answers its bin.
export function pip(name, version) {
    const target = path.join(caches, "conductor/peers", `${name}-${version}`);
    const marker = path.join(target, "complete");
    if (!fs.existsSync(marker)) {
        console.error(`peers: installing ${name} ${version} (once)`);
        fs.rmSync(target, { recursive: true, force: true });
        const run = (command, ...args) => spawnSync(command, args,
            { stdio: ["ignore", "inherit", "inherit"] }).status === 0;
        if (!run("python3", "-m", "venv", target)) return undefined;
        if (!run(path.join(target, "bin/pip"), "install", "--quiet", `${name}==${version}`)) {
            return undefined;
        }
        fs.writeFileSync(marker, "");
    }
    return path.join(target, "bin");
}

// Starts a program and waits until its output matches; answers the match and the output so far.
export async function start(command, args, ready, env = {}) {
    const child = spawn(command, args, {
        env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"],
    });
    processes.add(child);
    const program = { output: "" };
    const take = (bytes) => { program.output += bytes; };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    let ended = false;
    child.on("error", (error) => { ended = true; take(String(error)); });
    child.on("exit", () => { ended = true; });
    for (let tries = 0; tries < 600; tries += 1) {
        program.match = program.output.match(ready);
        if (program.match) return program;
        if (ended) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${path.basename(command)} does not start:\n${program.output.slice(-2000)}`);
}

export async function freePort() {
    const server = http.createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
}

export async function listen(server) {
    servers.add(server.listen(0, "127.0.0.1"));
    await new Promise((resolve) => server.once("listening", resolve));
    return server.address().port;
}

// A mock that checks requests by a published description.
export async function prism(description) {
    const package_ = npm("@stoplight/prism-cli", "5.14.2");
    if (!package_) throw new Missing("npm cannot install @stoplight/prism-cli@5.14.2");
    const file = path.join(work, `${randomBytes(4).toString("hex")}.json`);
    fs.writeFileSync(file, JSON.stringify(description));
    const program = await start(process.execPath, [path.join(package_, "dist/index.js"), "mock",
        "--host", "127.0.0.1", "--port", "0", "--errors", file],
    /Prism is listening on (http:\/\/127\.0\.0\.1:\d+)/);
    return program.match[1];
}

// Stands in front of a server: records what goes by, and gives the next answers itself where it was
// told some. Those are for what the server cannot be brought to say.
export async function front(target) {
    const seen = [];
    const scripted = [];
    const server = http.createServer((request, response) => {
        const chunks = [];
        request.on("data", (chunk) => chunks.push(chunk));
        request.on("end", () => {
            const body = Buffer.concat(chunks);
            const { method, url, headers } = request;
            const entry = { method, url, headers, body: body.toString() };
            seen.push(entry);
            const own = method !== "GET" && scripted.shift();
            if (own && !own.lost) {
                entry.status = own.status;
                response.writeHead(own.status, own.headers ?? {});
                response.end(own.body === undefined ? "" : JSON.stringify(own.body));
                return;
            }
            const passed = http.request(new URL(url, target), {
                method, headers: { ...headers, host: new URL(target).host },
            }, (answer) => {
                entry.status = answer.statusCode;
                // It arrived, and nobody hears so.
                if (own) return request.socket.destroy();
                response.writeHead(answer.statusCode, answer.headers);
                answer.pipe(response);
            });
            passed.on("error", () => { response.destroy(); });
            passed.end(body);
        });
    });
    const url = `http://127.0.0.1:${await listen(server)}`;
    return { url, seen, scripted, posts: () => seen.filter(({ method }) => method === "POST") };
}

// A conductor with one channel of the plugin. `hosts` are opened for it; `channel` is TOML.
export async function host(plugin, { hosts, secrets, options, grants = "", env = {} }) {
    if (!fs.existsSync(conductor)) throw new Error(`${conductor} is missing: run ./just peers`);
    const folder = fs.mkdtempSync(path.join(work, "host-"));
    const key = randomBytes(24).toString("hex");
    const lines = Object.entries(secrets).map(([name, value]) =>
        `${name} = ${JSON.stringify(value)}`);
    fs.writeFileSync(path.join(folder, ".env"), `PEERS_KEY=${key}\n`);
    const wasm = path.join(root, "plugins/dist", `${plugin}.wasm`);
    fs.writeFileSync(path.join(folder, "plugins.toml"), `
[[plugin]]
name = "${plugin}"
source = "${wasm}"
[plugin.grants]
hosts = ${JSON.stringify(hosts)}
addresses = ["127.0.0.0/8"]
${grants}
# A mock compiles a schema at its first use, which takes a busy machine a while.
[plugin.limits]
wall_ms = 30000
`);
    fs.writeFileSync(path.join(folder, "tenants.toml"), `
[[tenant]]
id = "${tenant}"
name = "Peers"
auth_key_env = "PEERS_KEY"
`);
    fs.writeFileSync(path.join(folder, "channels.toml"), `
[[channel]]
tenant_id = "${tenant}"
channel_type = "${plugin}"
name = "it"
[channel.secrets]
${lines.map((line) => line.replace(/= (".*")$/, (_, value) => `= ${secretSource(folder, value)}`))
        .join("\n")}
[channel.options]
${options}
[channel.retry]
attempts = 2
first_ms = 100
`);
    const data = path.join(folder, "data");
    const serve = () => start(conductor, ["serve", "--config-dir", folder, "--data-dir", data, "--listen",
        "127.0.0.1:0", "--store", "memory"], /listening on (http:\/\/127\.0\.0\.1:\d+)/, env);
    lendCompiled(compiled, path.join(data, "compiled"));
    // A channel is tried before it is taken, with a second for its health: a busy machine may need two.
    const program = await serve().catch((error) => {
        if (!/`health` failed: timeout/.test(error.message)) throw error;
        return serve();
    });
    lendCompiled(path.join(data, "compiled"), compiled);
    const url = program.match[1];
    return {
        program,
        // Sends a notification and answers how it ended: status, code, detail, provider id.
        async notify(notification) {
            const response = await fetch(`${url}/notifications`, {
                method: "POST",
                headers: {
                    authorization: `Bearer ${key}`, "content-type": "application/json",
                    prefer: "wait=30",
                },
                body: JSON.stringify({ channel: "it", message: "hello", ...notification }),
            });
            return { http: response.status, ...await response.json() };
        },
    };
}

// Copies what one conductor has compiled for the next one: each has its own data, and a plugin takes
// seconds. Only the owner may write there, or it would not be used.
const compiled = path.join(work, "compiled");
function lendCompiled(from, to) {
    for (const entry of fs.existsSync(from) ? fs.readdirSync(from, { withFileTypes: true }) : []) {
        if (entry.isDirectory()) {
            lendCompiled(path.join(from, entry.name), path.join(to, entry.name));
        } else if (!fs.existsSync(path.join(to, entry.name))) {
            fs.mkdirSync(to, { recursive: true, mode: 0o700 });
            fs.copyFileSync(path.join(from, entry.name), path.join(to, entry.name));
        }
    }
}

// A secret in a file of its own: a value may have lines.
function secretSource(folder, json) {
    const file = path.join(folder, `secret-${randomBytes(4).toString("hex")}`);
    fs.writeFileSync(file, JSON.parse(json), { mode: 0o600 });
    return `{ file = "${file}" }`;
}

export const letters = (count) => "a".repeat(count);

export function json(file) {
    return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : undefined;
}

export async function post(url, body, headers = {}) {
    const response = await fetch(url, {
        method: "POST",
        // A form that Meta's description asks for, and what the host sends.
        headers: { "content-type": "application/json", "user-agent": "Conductor/1.0.0", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
    });
    return response.status;
}

export const ask = async (url, options = {}) => {
    const response = await fetch(url, options);
    return { status: response.status, body: await response.json().catch(() => undefined) };
};
