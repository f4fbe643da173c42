// What the parts of a latency are called: the columns of ior_nb/runtime/schema.py, the words of ior_nb/aggregate/spent.py.

/** @type {Record<string, string>} */
export const SPENT = {
  on_cpu_ns: "on CPU",
  wait_cpu_ns: "CPU queue",
  wait_device_ns: "device",
  wait_lock_ns: "kernel lock",
  wait_other_ns: "others",
};
