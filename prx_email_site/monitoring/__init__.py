"""What machines and operators are told of a running site.

health_checks      /health/live/ and /health/ready/, for load balancers
metrics            /metrics, for Prometheus; metrics_collector reads them from the database
program_metrics    what of them is about programs: webhooks for events, the HTTP API
system_status      what `manage.py status` says
system_page        the same as a page: hosts, schedules, leases, tables
connection_steps   each step of a connection with its words, for `manage.py doctor`
request_id         the name of a request on its log lines and its answer
"""
