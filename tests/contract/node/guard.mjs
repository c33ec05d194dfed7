// Loaded before a script: whoever connects to anything but this machine fails.
import net from "node:net";

const here = new Set([undefined, "localhost", "127.0.0.1", "::1"]);
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...args) {
  const [options] = Array.isArray(args[0]) ? args[0] : args;
  const host = typeof options === "object" ? options.host : args[1];
  if (!here.has(host)) throw new Error(`${host} is not this machine`);
  return connect.apply(this, args);
};
