import django.db.models.deletion
import django.utils.timezone
import mailbox.models.file_kinds
import outbox.models.messages
import outbox.models.policy
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):


    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('mailbox', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AddressCursor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('message_id', models.BigIntegerField(default=0)),
                ('outbox_id', models.BigIntegerField(default=0)),
            ],
            options={
                'db_table': 'address_cursor',
            },
        ),
        migrations.CreateModel(
            name='CourierSlot',
            fields=[
                ('number', models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ('token', models.CharField(max_length=32)),
                ('holder', models.CharField(max_length=200)),
                ('expires_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'courier_slots',
            },
        ),
        migrations.CreateModel(
            name='DeliveryCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('called_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'delivery_calls',
            },
        ),
        migrations.CreateModel(
            name='Installation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('mark', models.CharField(max_length=32)),
                ('generation', models.BigIntegerField(default=0)),
            ],
            options={
                'verbose_name': 'installation mark',
                'verbose_name_plural': 'installation mark',
                'db_table': 'installation',
            },
        ),
        migrations.CreateModel(
            name='ReportCursor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('message_id', models.BigIntegerField(default=0)),
            ],
            options={
                'db_table': 'report_cursor',
            },
        ),
        migrations.CreateModel(
            name='SendPace',
            fields=[
                ('account', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='send_pace', serialize=False, to='mailbox.account')),
                ('next_at', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'pace of an account',
                'verbose_name_plural': 'paces of accounts',
                'db_table': 'send_paces',
            },
        ),
        migrations.CreateModel(
            name='Draft',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.UUIDField(default=uuid.uuid4, unique=True)),
                ('start', models.CharField(blank=True, max_length=40)),
                ('to', models.TextField(blank=True)),
                ('cc', models.TextField(blank=True)),
                ('bcc', models.TextField(blank=True)),
                ('subject', models.TextField(blank=True)),
                ('body_text', models.TextField(blank=True)),
                ('send_at', models.CharField(blank=True, max_length=40)),
                ('kept', models.JSONField(blank=True, null=True)),
                ('version', models.PositiveIntegerField(default=1)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='mailbox.account')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='drafts', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'drafts',
                'indexes': [models.Index(fields=['user', '-updated_at'], name='draft_newest_of_user')],
            },
        ),
        migrations.CreateModel(
            name='DraftFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('filename', models.CharField(max_length=255)),
                ('content_type', models.CharField(max_length=255)),
                ('size', models.BigIntegerField()),
                ('raw_digest', models.CharField(db_index=True, max_length=64)),
                ('draft', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='files', to='outbox.draft')),
            ],
            options={
                'db_table': 'draft_files',
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='KnownAddress',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.CharField(max_length=320)),
                ('name', models.CharField(blank=True, max_length=200)),
                ('name_key', models.CharField(blank=True, max_length=200)),
                ('last_at', models.DateTimeField()),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='mailbox.account')),
            ],
            options={
                'verbose_name_plural': 'known addresses',
                'db_table': 'known_addresses',
                'indexes': [models.Index(fields=['address'], name='known_by_address', opclasses=['varchar_pattern_ops']), models.Index(fields=['name_key'], name='known_by_name', opclasses=['varchar_pattern_ops'])],
                'constraints': [models.UniqueConstraint(fields=('account', 'address'), name='known_address_unique')],
            },
        ),
        migrations.CreateModel(
            name='Operation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.UUIDField(default=uuid.uuid4, unique=True)),
                ('verb', models.CharField(choices=[('retry', 'Retry'), ('send_now', 'Send now anyway'), ('cancel', 'Cancel'), ('mark_as_sent', 'Mark as sent')], max_length=12)),
                ('query', models.TextField(blank=True)),
                ('asked_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('upto_pk', models.BigIntegerField()),
                ('after_pk', models.BigIntegerField(default=0)),
                ('total', models.PositiveBigIntegerField(default=0)),
                ('done', models.PositiveBigIntegerField(default=0)),
                ('skipped', models.JSONField(blank=True, default=dict)),
                ('moved_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('stopped_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('stopped_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'outbox_operations',
                'ordering': ['-pk'],
                'indexes': [models.Index(condition=models.Q(('finished_at', None)), fields=['moved_at'], name='operation_unfinished')],
            },
        ),
        migrations.CreateModel(
            name='OutboxCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('pending', 'queued'), ('sending', 'sending'), ('sent', 'sent'), ('failed', 'failed'), ('cancelled', 'cancelled')], max_length=9)),
                ('number', models.BigIntegerField()),
                ('counted_at', models.DateTimeField()),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='mailbox.account')),
            ],
            options={
                'db_table': 'outbox_counts',
                'constraints': [models.UniqueConstraint(fields=('account', 'status'), name='outbox_count_unique')],
            },
        ),
        migrations.CreateModel(
            name='OutboxMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('to', models.TextField()),
                ('cc', models.TextField(blank=True)),
                ('bcc', models.TextField(blank=True)),
                ('subject', models.TextField()),
                ('body_text', models.TextField()),
                ('body_html', models.TextField(blank=True)),
                ('in_reply_to', models.TextField(blank=True)),
                ('references_header', models.TextField(blank=True)),
                ('mail_from', models.CharField(max_length=320)),
                ('mime_digest', models.CharField(max_length=64)),
                ('mime_size', models.BigIntegerField()),
                ('needs_smtputf8', models.BooleanField(default=False)),
                ('status', models.CharField(choices=[('pending', 'queued'), ('sending', 'sending'), ('sent', 'sent'), ('failed', 'failed'), ('cancelled', 'cancelled')], default='pending', max_length=9)),
                ('hold', models.CharField(blank=True, choices=[('permanent', 'the server refused it for good'), ('gave_up', 'tried for too long'), ('sign_in', 'the account must sign in again'), ('uncertain', 'it may or may not have gone out')], default='', max_length=9)),
                ('retries', models.PositiveIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('provider_message_id', models.CharField(max_length=998, null=True)),
                ('error_code', models.CharField(blank=True, max_length=20)),
                ('error', models.TextField(blank=True)),
                ('claim_token', models.CharField(blank=True, max_length=32)),
                ('claimed_by', models.CharField(blank=True, max_length=200)),
                ('lease_expires_at', models.DateTimeField(null=True)),
                ('former_status', models.CharField(blank=True, max_length=9)),
                ('data_at', models.DateTimeField(null=True)),
                ('failure_mode', models.CharField(blank=True, max_length=10)),
                ('send_at', models.DateTimeField(null=True)),
                ('undo_until', models.DateTimeField(null=True)),
                ('idempotency_key', models.CharField(max_length=200, null=True)),
                ('request_digest', models.CharField(max_length=64, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='outbox', to='mailbox.account')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('parent', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='answers', to='mailbox.message')),
                ('requested_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'outbox message',
                'db_table': 'outbox',
                'indexes': [models.Index(condition=models.Q(('hold', ''), ('status__in', ['pending', 'failed'])), fields=['account', 'next_attempt_at'], name='outbox_waiting'), models.Index(condition=models.Q(('status', 'sending')), fields=['lease_expires_at'], name='outbox_claimed'), models.Index(fields=['status', 'hold', '-id'], name='outbox_tab'), models.Index(fields=['created_at'], name='outbox_written'), models.Index(fields=['account', '-id'], name='outbox_newest_of_account'), models.Index(condition=models.Q(('status', 'cancelled')), fields=['account', '-id'], name='outbox_cancelled'), models.Index(condition=models.Q(('parent__isnull', False)), fields=['parent'], name='outbox_answers'), models.Index(condition=models.Q(('error_code__gt', '')), fields=['error_code', '-id'], name='outbox_error'), models.Index(condition=models.Q(('failure_mode__gt', '')), fields=['-id'], name='outbox_drill')],
                'constraints': [models.UniqueConstraint(fields=('account', 'idempotency_key'), name='outbox_idempotency_key_unique'), models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'sending', 'sent', 'failed', 'cancelled'])), name='outbox_status_known'), models.CheckConstraint(condition=models.Q(('hold', ''), ('status', 'failed'), _connector='OR'), name='outbox_hold_only_when_failed'), models.CheckConstraint(condition=models.Q(models.Q(('lease_expires_at__isnull', False), ('status', 'sending'), models.Q(('claim_token', ''), _negated=True)), models.Q(models.Q(('status', 'sending'), _negated=True), ('claim_token', ''), ('lease_expires_at', None)), _connector='OR'), name='outbox_claim_only_when_sending')],
            },
        ),
        migrations.CreateModel(
            name='OutboxAttachment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField()),
                ('position', models.PositiveIntegerField()),
                ('filename', models.CharField(max_length=255)),
                ('content_type', models.CharField(max_length=255)),
                ('size', models.BigIntegerField()),
                ('digest', models.CharField(max_length=64)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='mailbox.account')),
                ('outbox', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attachment_rows', to='outbox.outboxmessage')),
            ],
            options={
                'db_table': 'outbox_attachments',
                'indexes': [models.Index(fields=['-created_at', '-id'], name='outbox_attachment_newest'), models.Index(fields=['account', '-created_at', '-id'], name='outbox_attachment_account'), models.Index(mailbox.models.file_kinds.KindOf('content_type'), models.OrderBy(models.F('created_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='outbox_attachment_kind'), models.Index(condition=models.Q(('size__gte', 100000)), fields=['-created_at', '-id', 'size'], name='outbox_attachment_large')],
                'constraints': [models.UniqueConstraint(fields=('outbox', 'position'), name='outbox_attachment_unique')],
            },
        ),
        migrations.CreateModel(
            name='DeliveryAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('claim_token', models.CharField(max_length=32, unique=True)),
                ('worker', models.CharField(max_length=200)),
                ('failure_mode', models.CharField(blank=True, max_length=10)),
                ('message_id', models.CharField(max_length=998)),
                ('prx_attempt', models.CharField(max_length=32)),
                ('phase', models.CharField(choices=[('claim', 'claimed'), ('connect', 'connect'), ('tls', 'tls'), ('auth', 'auth'), ('mail', 'mail'), ('rcpt', 'rcpt'), ('data', 'data'), ('accepted', 'accepted')], default='claim', max_length=8)),
                ('outcome', models.CharField(blank=True, choices=[('', 'running'), ('accepted', 'accepted'), ('partial', 'accepted for some recipients'), ('transient', 'failed for now'), ('permanent', 'refused for good'), ('sign_in', 'sign-in refused'), ('throttled', 'asked to wait'), ('uncertain', 'outcome unknown'), ('abandoned', 'the worker stopped before anything was sent')], default='', max_length=9)),
                ('reply_code', models.PositiveIntegerField(null=True)),
                ('reply', models.TextField(blank=True)),
                ('transcript', models.JSONField(blank=True, default=list)),
                ('started_at', models.DateTimeField()),
                ('data_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('requested_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('outbox', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='outbox.outboxmessage')),
            ],
            options={
                'db_table': 'delivery_attempts',
                'ordering': ['pk'],
                'indexes': [models.Index(fields=['prx_attempt'], name='attempt_by_stamp'), models.Index(condition=models.Q(('failure_mode__gt', '')), fields=['outbox'], name='attempt_drill'), models.Index(condition=models.Q(('reply_code__gte', 300)), fields=['reply_code'], name='attempt_refused')],
                'constraints': [models.UniqueConstraint(fields=('outbox', 'number'), name='attempt_number_unique')],
            },
        ),
        migrations.CreateModel(
            name='OutboxRecipient',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('to', 'To'), ('cc', 'Cc'), ('bcc', 'Bcc')], max_length=3)),
                ('address', models.CharField(max_length=320)),
                ('status', models.CharField(choices=[('waiting', 'waiting'), ('accepted', 'accepted'), ('refused', 'refused')], default='waiting', max_length=8)),
                ('reply_code', models.PositiveIntegerField(null=True)),
                ('reply', models.TextField(blank=True)),
                ('accepted_at', models.DateTimeField(null=True)),
                ('outbox', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='recipients', to='outbox.outboxmessage')),
            ],
            options={
                'db_table': 'outbox_recipients',
                'indexes': [models.Index(outbox.models.messages.DomainOf('address'), name='recipient_domain'), models.Index(condition=models.Q(('reply_code__gte', 300)), fields=['reply_code'], name='recipient_refused')],
                'constraints': [models.UniqueConstraint(fields=('outbox', 'address'), name='outbox_recipient_unique')],
            },
        ),
        migrations.CreateModel(
            name='DeliveryReport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.CharField(max_length=320)),
                ('action', models.CharField(choices=[('failed', 'bounced'), ('delayed', 'delayed'), ('delivered', 'delivered'), ('relayed', 'relayed'), ('expanded', 'expanded')], max_length=9)),
                ('status_code', models.CharField(blank=True, max_length=20)),
                ('words', models.TextField(blank=True)),
                ('reporter', models.TextField(blank=True)),
                ('is_proven', models.BooleanField(default=False)),
                ('reported_at', models.DateTimeField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('acknowledged_at', models.DateTimeField(null=True)),
                ('acknowledged_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('message', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='mailbox.message')),
                ('outbox', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reports', to='outbox.outboxmessage')),
                ('recipient', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='reports', to='outbox.outboxrecipient')),
            ],
            options={
                'db_table': 'delivery_reports',
                'ordering': ['pk'],
                'indexes': [models.Index(condition=models.Q(('acknowledged_at', None), ('action', 'failed')), fields=['outbox'], name='report_unacknowledged')],
                'constraints': [models.UniqueConstraint(fields=('outbox', 'message', 'address', 'action'), name='report_once_a_mail')],
            },
        ),
        migrations.CreateModel(
            name='SendingSwitch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('paused_at', models.DateTimeField(null=True)),
                ('reason', models.TextField(blank=True)),
                ('paused_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'sending switch',
                'verbose_name_plural': 'sending switch',
                'db_table': 'sending_switch',
            },
        ),
        migrations.CreateModel(
            name='SentCopy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('waiting', 'waiting'), ('done', 'in Sent'), ('failed', 'failed'), ('unwanted', 'not wanted any more')], default='waiting', max_length=8)),
                ('tries', models.PositiveIntegerField(default=0)),
                ('next_try_at', models.DateTimeField()),
                ('folder', models.CharField(blank=True, max_length=500)),
                ('error', models.TextField(blank=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('claim_token', models.CharField(blank=True, max_length=32)),
                ('lease_expires_at', models.DateTimeField(null=True)),
                ('outbox', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='sent_copy', to='outbox.outboxmessage')),
            ],
            options={
                'verbose_name': 'copy in Sent',
                'verbose_name_plural': 'copies in Sent',
                'db_table': 'sent_copies',
                'indexes': [models.Index(condition=models.Q(('state', 'waiting')), fields=['next_try_at'], name='sent_copy_waiting')],
            },
        ),
        migrations.CreateModel(
            name='SentLookup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uncertain_at', models.DateTimeField()),
                ('next_look_at', models.DateTimeField(null=True)),
                ('last_look_at', models.DateTimeField(null=True)),
                ('last_words', models.TextField(blank=True)),
                ('found_in', models.CharField(blank=True, max_length=500)),
                ('claim_token', models.CharField(blank=True, max_length=32)),
                ('lease_expires_at', models.DateTimeField(null=True)),
                ('attempt', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='sent_lookup', to='outbox.deliveryattempt')),
            ],
            options={
                'verbose_name': 'look into Sent',
                'verbose_name_plural': 'looks into Sent',
                'db_table': 'sent_lookups',
                'indexes': [models.Index(condition=models.Q(('next_look_at__isnull', False)), fields=['next_look_at'], name='sent_lookup_due')],
            },
        ),
        migrations.CreateModel(
            name='AttachmentPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('max_size_bytes', models.BigIntegerField(default=outbox.models.policy._default_max_size)),
                ('allowed_content_types', models.JSONField(default=outbox.models.policy._default_types)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('updated_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'attachment policy',
                'db_table': 'attachment_policy',
                'constraints': [models.CheckConstraint(condition=models.Q(('max_size_bytes__gt', 0)), name='policy_max_size_positive', violation_error_message='The maximum size must be greater than 0.')],
            },
        ),
    ]
