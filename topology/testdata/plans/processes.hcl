# Steps on nodes and addresses, and commands.
lab "processes" { duration = "20s" }

network "n" { prefix = "192.0.2.0/24" }

node "gw" {
  count = 2
  interface "e" { network = network.n }
  connection "peer" {
    remote_addrs = [node.gw[1 - count.index].interface.e]
    child "net" {}
  }
}
secret "psk" { secret = "x" }

step "kill" {
  at     = "2s"
  action = kill(node.gw[0])
}
step "start" {
  on     = { event = "node-killed", node = node.gw[0] }
  after  = "1500ms"
  action = start(node.gw[0])
}
step "add" {
  at     = "5s"
  action = add_address(node.gw[1].interface.e, "192.0.2.77")
}
step "renumber" {
  at     = "6s"
  action = set_address(node.gw[1].interface.e, ["192.0.2.78/24", "192.0.2.77"])
}
step "none" {
  at     = "7s"
  action = set_address(node.gw[1].interface.e, [])
}

process "server" {
  node    = node.gw[0]
  command = ["iperf3", "-s"]
  stop    = "15s"
}
process "client" {
  count   = 2
  node    = node.gw[1]
  command = ["iperf3", "-c", node.gw[0].interface.e.address, "-p", "52${count.index}"]
  env     = { PATH = "/usr/bin", LANG = "C" }
  stdin   = "x"
  on      = { event = "process-started", node = node.gw[0] }
  after   = "500ms"
  timeout = "5s"
}

expect "transfers" {
  condition = alltrue([for c in result.process.client : c.exit_status == 0])
}
