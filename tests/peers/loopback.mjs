// Some servers listen on all of a machine's addresses and cannot be told otherwise. Nothing of a test
// may be reached from outside.

import net from "node:net";

const { listen } = net.Server.prototype;

net.Server.prototype.listen = function here(where, ...rest) {
    if (typeof where === "object" && where !== null && "port" in where) {
        return listen.call(this, { ...where, host: "127.0.0.1" }, ...rest);
    }
    if (Number.isInteger(Number(where)) && typeof where !== "function") {
        const more = rest.filter((one) => typeof one === "function" || typeof one === "number");
        return listen.call(this, Number(where), "127.0.0.1", ...more);
    }
    return listen.call(this, where, ...rest);
};
