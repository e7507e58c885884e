"""Monitoring of a running site, for machines and operators.

health_checks      /health/live/, /health/ready/ and /health/workers/, for load balancers and outside monitoring
metrics            /metrics for Prometheus; metrics_collector, host_metrics and program_metrics compute them,
                   metric_families makes the gauges
system_status      the state of hosts, processes and tables, for `manage.py status`
system_page        the same as a page; system_api: over the HTTP API
connection_steps   tests each step of a connection, for `manage.py doctor`
request_id         the id of a request in its log lines and its response
traces, sentry     OpenTelemetry and Sentry, where they are set up; reporting starts them
request_traces, task_traces   the spans of requests and of the tasks that they queue
"""
