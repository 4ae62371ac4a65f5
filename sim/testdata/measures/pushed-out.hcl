# Two devices of one identity: the second one's INITIAL_CONTACT pushes the first one's SAs out of the gateway, and
# nobody tells the first.
lab "pushed-out" { duration = var.duration }
variable "duration" { type = string }
variable "dpd" { type = string }
network "internet" { prefix = "198.51.100.0/24" }
network "office" { prefix = "10.1.0.0/24" }
node "gw" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.office }
  connection "mobile" {
    local { id = "gw.example.org" }
    child "office" { local_ts = [network.office] }
  }
}
node "device" {
  for_each = ["laptop", "phone"]
  interface "wan" {
    network = network.internet
    link    = { delay = "20ms" }
  }
  connection "office" {
    remote_addrs       = [node.gw.interface.wan]
    dpd_delay          = var.dpd
    retransmit_timeout = "1s"
    retransmit_tries   = 2
    local { id = "dev@example.org" }
    remote { id = "gw.example.org" }
    child "office" {
      remote_ts    = [network.office]
      start_action = each.key == "laptop" ? "start" : "none"
    }
  }
}
step "phone" {
  at     = "5s"
  action = initiate(node.device["phone"].connection.office)
}
secret "s" { secret = "one user, two devices" }
